// Labels, formats, and the words for what the API names.

import { state } from "./state.js";

const day = new Intl.DateTimeFormat("en-US", { dateStyle: "long", timeZone: "UTC" });

/** "January 6, 2027" of "2027-01-06". */
export const date = (text) => (text ? day.format(new Date(`${text}T00:00:00Z`)) : undefined);

/** "January 6, 2027 at 3:04 PM" in the portal's time zone. */
export const moment = (text) =>
  text ? new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeStyle: "short", timeZone: state.portal?.time_zone }).format(new Date(text)) : undefined;

export const words = (id) => {
  const text = String(id).replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
};

/** How a field of `verification` is entered. */
export const VERIFICATION = {
  agent_id: { label: "Agent ID", hint: "It is on your contract and your commission statements." },
  ssn_last4: { label: "Last four digits of your Social Security number", inputmode: "numeric", width: "w4", maxlength: 4 },
  group_number: { label: "Group number", hint: "It is on your group's contract and bills." },
  tax_id_last4: { label: "Last four digits of the group's tax ID", inputmode: "numeric", width: "w4", maxlength: 4 },
  enrollee_id: { label: "Enrollee ID", hint: "The nine digits on your member ID card. Leave out letters.", inputmode: "numeric", width: "w10", maxlength: 9 },
  subscriber_last_name: { label: "Subscriber's last name", hint: "The subscriber is the person in whose name the coverage is. For your own coverage, this is you." },
  date_of_birth: { label: "Your date of birth", hint: "For example, 4 26 1985", type: "birth-date" },
  provider_id: { label: "Provider ID", hint: "It is on the letter that we sent you and on your remittance advice." },
  tax_id: { label: "Tax ID", hint: "Nine digits", inputmode: "numeric", width: "w10" },
  first_name: { label: "First name in the plan's records", autocomplete: "given-name" },
  last_name: { label: "Last name in the plan's records", autocomplete: "family-name" },
};

export const verificationFields = (type) =>
  type.verification_fields.map((name) => ({ label: words(name), plain: true, ...VERIFICATION[name], name: `verification.${name}` }));

export const nameFields = () => [
  { name: "first_name", label: "First name", autocomplete: "given-name", maxlength: 60 },
  { name: "last_name", label: "Last name", autocomplete: "family-name", maxlength: 60 },
];

export const emailField = (more) => ({ name: "email", label: "Email address", type: "email", autocomplete: "email", ...more });

const KINDS = { letter: "a letter", digit: "a number", lowercase: "a lowercase letter", uppercase: "an uppercase letter", symbol: "a symbol" };

export function passwordHint() {
  const p = state.portal;
  const kinds = p.password_required_characters.map((k) => KINDS[k] ?? words(k).toLowerCase());
  const list = kinds.length > 1 ? `${kinds.slice(0, -1).join(", ")} and ${kinds.at(-1)}` : kinds[0];
  return `At least ${p.password_min_length} characters${list ? `, including ${list}` : ""}. A few random words are easy to remember and hard to guess.`;
}

export const newPassword = (name = "password", label = "Password") => ({ name, label, type: "password", autocomplete: "new-password", hint: passwordHint(), missing: "Enter a password." });

export const usernameField = () => ({
  name: "username",
  label: "Username",
  hint: `At least ${state.portal.username_min_length} characters. You use it to sign in, so don't choose anything private, such as your Social Security number.`,
  autocomplete: "username",
  plain: true,
});

export const hintFields = () => [
  { name: "hint.question", label: "Hint question", hint: "A question that only you can answer. We ask it if you forget your password.", maxlength: 100 },
  { name: "hint.answer", label: "Hint answer", maxlength: 100 },
];

/** The fields in which a person chooses security questions. */
export function securityFields() {
  const { security_questions: questions, security_questions_required: required } = state.portal;
  return Array.from({ length: required }, (_, i) => [
    { name: `security_answers[${i}].question`, label: `Security question ${i + 1}`, type: "select", options: questions.map((q) => [q, q]), empty: "Select a question", missing: `Select security question ${i + 1}.` },
    { name: `security_answers[${i}].answer`, label: `Answer to question ${i + 1}`, maxlength: 100, missing: `Enter the answer to question ${i + 1}.` },
  ]).flat();
}

/** Fields that answer questions that the API sends. */
export const answerFields = (questions) =>
  questions.map((question, i) => ({ name: `security_answers[${i}].answer`, label: question, maxlength: 100, missing: `Enter the answer to question ${i + 1}.` }));

export const withQuestions = (values, questions) => ({
  ...values,
  ...Object.fromEntries(questions.map((question, i) => [`security_answers[${i}].question`, question])),
});

const CODES =
  "AD AE AF AG AI AL AM AO AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

export function addressFields(prefix = "postal_address") {
  const names = new Intl.DisplayNames("en", { type: "region" });
  const countries = CODES.split(" ").map((c) => [c, names.of(c)]).sort((a, b) => a[1].localeCompare(b[1]));
  return [
    { name: `${prefix}.lines[0]`, label: "Street address", autocomplete: "address-line1", maxlength: 60 },
    { name: `${prefix}.lines[1]`, label: "Apartment, suite or department", autocomplete: "address-line2", optional: true, maxlength: 60 },
    { name: `${prefix}.city`, label: "City", autocomplete: "address-level2", maxlength: 60 },
    { name: `${prefix}.region`, label: "State or region", hint: "For the United States, the two-letter abbreviation, such as IL", autocomplete: "address-level1", optional: true, maxlength: 60, width: "w10" },
    { name: `${prefix}.postal_code`, label: "ZIP Code or postal code", autocomplete: "postal-code", optional: true, maxlength: 60, width: "w10" },
    { name: `${prefix}.country`, label: "Country", type: "select", autocomplete: "country", options: countries, value: state.portal.home_country ?? "US" },
  ];
}

export const REGISTRATION = {
  pending: "Not completed",
  awaiting_approval: "Waiting for approval",
  registered: "Registered",
  record_ended: "Plan record ended",
};

export const STATUS = { active: "Active", disabled: "Disabled", deleted: "Deleted" };

export const INVITATION = { pending: "Pending", expired: "Expired", used: "Accepted", accepted: "Accepted", revoked: "Revoked" };

export const STEPS = {
  pending: "Enter your PIN or code",
};

/** What an entry of the audit trail says about an action. An action that is not here is shown as its id in words. */
export const ACTIONS = {
  register: "Registered",
  register_additional_organization: "Registered another organization",
  register_again: "Registered again",
  repeat_registration: "Repeated a registration",
  accept_invitation: "Accepted an invitation",
  invite: "Sent an invitation",
  resend_invitation: "Sent an invitation again",
  revoke_invitation: "Revoked an invitation",
  add_user: "Added a user",
  approve_user: "Approved a user",
  assign_access: "Changed access",
  disable_user: "Disabled a user",
  reinstate_user: "Reinstated a user",
  remove_user: "Removed a user",
  reissue_registration_code: "Sent a new registration code",
  start_access_review: "Started an access review",
  confirm_access: "Confirmed access",
  sign_in: "Signed in",
  sign_out: "Signed out",
  choose_organization: "Chose an organization",
  change_password: "Changed the password",
  activate_pin: "Entered a PIN",
  reissue_pin: "Requested a new PIN letter",
  redeem_registration_code: "Entered a registration code",
  request_password_reset: "Requested a password reset",
  reset_password: "Reset the password",
  recover_username: "Requested a forgotten username",
  edit_profile: "Changed the profile",
  request_email_change: "Requested a new email address",
  change_email: "Changed the email address",
  cancel_email_change: "Canceled a new email address",
  mark_undeliverable: "Email was returned",
  mark_letter_not_printed: "Letter was not printed",
  send_feedback: "Sent feedback",
  warn_idle: "Warned about inactivity",
  disable_idle: "Disabled after inactivity",
  delete_idle: "Deleted after inactivity",
  end_access: "Access ended",
  remind: "Sent a reminder",
  record_agreement: "Recorded an agreement",
  view_account: "Viewed an account",
  act_on_account: "Acted on an account",
  unlock_user: "Unlocked a user",
  secure_user: "Secured an account",
  rename_user: "Changed a username",
  choose_username: "Chose a username",
  release_username: "Released a username",
  detach_record: "Undid a registration",
  edit_subscriptions: "Changed subscriptions",
  correct_postal_address: "Corrected a postal address",
  list_users: "Viewed the list of users",
  view_user: "Viewed a user",
  download_users: "Downloaded the users",
  list_invitations: "Viewed the invitations",
  view_access_review: "Viewed the access review",
  look_up_agents: "Viewed the agents",
  open_service: "Opened a service",
  search_audit: "Viewed the audit trail",
  download_audit: "Downloaded the audit trail",
  notice_concurrent_use: "Used from several places at once",
  end_record: "Plan record ended",
  return_record: "Plan record returned",
  follow_record: "Plan record changed",
  notify_provider: "Notified a provider",
  send_email: "Sent an email",
  unlock_record: "Unlocked a plan record",
  enter_second_factor: "Entered a second factor",
  confirm_password: "Confirmed with the password",
  add_second_factor: "Added a second factor",
  rename_second_factor: "Renamed a second factor",
  remove_second_factor: "Removed a second factor",
  remove_trusted_device: "Removed a trusted device",
  create_recovery_codes: "Created recovery codes",
  start_second_factor_reset: "Started a reset of second factors",
  reset_second_factors: "Reset second factors",
  cancel_second_factor_reset: "Canceled a reset of second factors",
  authorize_application: "Opened an application",
  open_application: "Application signed the user in",
  revoke_token: "Application gave up its access",
  end_application_access: "Access of an application ended",
};

export const actionTitle = (id) => ACTIONS[id] ?? words(id);
