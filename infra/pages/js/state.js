// What all pages share: the portal, the person, and the functions of the router.

export const state = {
  /** The description of the portal. */
  portal: undefined,
  /** The profile of the signed-in person. */
  me: undefined,
  /** The session, if a page has requested it. */
  session: undefined,
  /** A message for the next page. */
  message: undefined,
  /** Goes to a page; the path is relative to the folder of the pages. */
  go: undefined,
  /** Shows the current page again, with a new profile. */
  refresh: undefined,
  /** Loads the profile again and goes to the next step or the start page. */
  restart: undefined,
  /** Loads the profile again. */
  loadProfile: undefined,
  /** Goes on after a sign-in, also in other tabs. */
  signedIn: undefined,
  /** Lets the person confirm a sensitive action; returns whether they did. */
  confirm: undefined,
  /** Lets the person sign in again without leaving the page; returns whether they did. */
  signInAgain: undefined,
};

/** Returns whether the person's role has a permission. */
export const may = (permission) => (state.me?.permissions ?? []).includes(permission);

export const roleTitle = (id, portal = state.portal) => portal.roles?.find((r) => r.id === id)?.title ?? id;

export const titleOf = (list, id) => list?.find((o) => o.id === id)?.title ?? id;
