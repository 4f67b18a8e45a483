// Forgotten passwords and usernames, and the pages behind links in emails.

import { post } from "../api.js";
import { h, notice } from "../dom.js";
import { form, nest } from "../form.js";
import { link, phone } from "../layout.js";
import { state } from "../state.js";
import { answerFields, emailField, newPassword, nameFields, verificationFields, withQuestions } from "../words.js";
import { brokenLink, takeToken } from "./register.js";

const callHelpDesk = (title) => {
  const help = state.portal.help_desk;
  return { title, body: [h("p", null, `On this portal, ${help.name} helps you with this.`), h("p", { class: "lead" }, phone(help)), h("p", null, help.hours)] };
};

export function forgotPassword() {
  const { portal } = state;
  if (!portal.forgot_password.length) return callHelpDesk("Forgot your password?");
  const started = history.state?.reset;
  if (started?.verification_methods.includes("email")) {
    return {
      title: "Check your email",
      body: [
        h("p", null, "If there is an account with this username, we sent a link to its email address. The link works for a short time."),
        h("p", null, "No email? Check your spam folder and whether you typed the right username. ", link("forgot-username", "Forgot your username?")),
      ],
    };
  }
  if (started) {
    const questions = started.questions ?? [];
    return {
      title: "Answer your security questions",
      body: [
        form({
          fields: [...answerFields(questions), started.verification_methods.includes("hint_question") ? { name: "hint.answer", label: "Answer to your hint question", maxlength: 100 } : null, newPassword("new_password", "New password")],
          submit: "Set new password",
          send: async (values) => {
            await post("password-resets/redemption", nest(withQuestions({ ...values, username: started.username }, questions)));
            await state.go("sign-in", { message: "Your password was changed. Sign in with the new one." });
          },
        }),
      ],
    };
  }
  return {
    title: "Forgot your password?",
    back: ["sign-in", "Sign in"],
    body: [
      form({
        fields: [{ name: "username", label: "Username", autocomplete: "username", plain: true }],
        send: async (values) => {
          const answer = await post("password-resets", values);
          await state.go("forgot-password", { reset: { ...answer, username: values.username } });
        },
      }),
      h("p", null, link("forgot-username", "Forgot your username?")),
    ],
  };
}

export async function resetPassword() {
  const token = takeToken();
  if (!token) return brokenLink("Choose a new password");
  const needed = await post("password-resets/look-up", { token });
  const questions = needed.questions ?? [];
  return {
    title: "Choose a new password",
    body: [
      form({
        fields: [needed.hint ? { name: "hint.answer", label: needed.hint.question, hint: "Your hint question", maxlength: 100, missing: "Enter the answer to your hint question." } : null, ...answerFields(questions), newPassword("new_password", "New password")],
        submit: "Set new password",
        send: async (values) => {
          const answer = await post("password-resets/redemption", nest(withQuestions({ ...values, token }, questions)));
          history.replaceState({}, "", location.pathname);
          await state.go("sign-in", { message: `Your password was changed and all sessions have ended. Your username is ${answer.username}.` });
        },
      }),
    ],
  };
}

export function forgotUsername() {
  const { portal } = state;
  const started = history.state?.recovery;
  if (portal.forgot_username.includes("email")) {
    if (history.state?.sent) {
      return { title: "Check your email", body: [h("p", null, "If there is an account with this email address, we sent its username there."), h("div", { class: "buttons" }, link("sign-in", "Sign in", { class: "button primary" }))] };
    }
    return {
      title: "Forgot your username?",
      back: ["sign-in", "Sign in"],
      body: [h("p", null, "We send your username to your email address."), form({ fields: [emailField()], submit: "Send my username", send: async (values) => {
        await post("username-reminders", values);
        await state.go("forgot-username", { sent: true });
      } })],
    };
  }
  if (!portal.forgot_username.includes("security_answers")) return callHelpDesk("Forgot your username?");
  if (started?.found) {
    return { title: "Your username", body: [h("p", { class: "lead" }, `Your username is ${started.found}.`), h("div", { class: "buttons" }, link("sign-in", "Sign in", { class: "button primary" })), h("p", null, link("forgot-password", "Forgot your password, too?"))] };
  }
  if (recovering) {
    const { questions, request } = recovering;
    return {
      title: "Answer your security questions",
      body: [form({ fields: answerFields(questions), submit: "Show my username", send: async (values) => {
        const answer = await post("username-recoveries/answers", { ...request, ...nest(withQuestions(values, questions)) });
        recovering = undefined;
        await state.go("forgot-username", { recovery: { found: answer.username }, replaceEntry: true });
      } })],
    };
  }
  const types = portal.registration_types;
  const one = (type) => form({
    fields: [...verificationFields(type), nameFields()[0]],
    send: async (values) => {
      const request = nest({ ...values, registration_type: type.id });
      const answer = await post("username-recoveries", request);
      recovering = { questions: answer.questions, request };
      await state.go("forgot-username", { answering: true });
    },
  });
  return {
    title: "Forgot your username?",
    back: ["sign-in", "Sign in"],
    body: [h("p", null, "Enter the information that you registered with."), types.length === 1 ? one(types[0]) : types.map((t) => h("details", null, h("summary", null, t.title), one(t)))],
  };
}

/** What the person entered to recover the username; only in memory. */
let recovering;

export function confirmEmail() {
  const token = takeToken();
  if (!token) return brokenLink("Confirm your email address");
  return {
    title: "Confirm your email address",
    body: [form({ fields: [h("p", null, "Confirm that this is your new email address. We then send all messages there.")], submit: "Confirm email address", send: async () => {
      await post("email-confirmations", { token });
      history.replaceState({}, "", location.pathname);
      if (state.me) await state.restart("Your email address was changed.");
      else await state.go("sign-in", { message: "Your email address was changed." });
    } })],
  };
}

/** The page of a link that cancels what somebody started, and ends all sessions. */
export function cancelByLink({ title, about, submit, resource, what }) {
  const token = takeToken();
  if (!token) return brokenLink(title);
  return {
    title,
    body: [
      h("p", null, about),
      form({ fields: [], submit, danger: true, send: async () => {
        await post(resource, { token });
        history.replaceState({}, "", location.pathname);
        state.me = undefined;
        await state.go("forgot-password", { message: `${what} was canceled and all sessions have ended. If you did not request it, choose a new password now.` });
      } }),
    ],
  };
}

export const cancelEmailChange = () =>
  cancelByLink({
    title: "Cancel the change of your email address",
    about: "Someone requested another email address for your account. If it was not you, cancel the change. This also signs you out everywhere.",
    submit: "Cancel the change",
    resource: "email-change-cancellations",
    what: "The change",
  });

export { notice };
