// Forms: fields with labels, hints and errors; an error summary that receives the focus; one submission at a time.

import { Problem, newKey } from "./api.js";
import { append, focus, h, unique } from "./dom.js";
import { state } from "./state.js";

/** Builds the JSON body from values whose names are paths, such as `hint.question` or `answers[0].answer`. */
export function nest(values) {
  const body = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const path = name.split(/[.[\]]+/).filter(Boolean);
    let at = body;
    path.forEach((part, i) => {
      if (i === path.length - 1) {
        at[part] = value;
      } else {
        at[part] ??= /^\d+$/.test(path[i + 1]) ? [] : {};
        at = at[part];
      }
    });
  }
  return body;
}

/** A field: its element, how to read it, and how to show an error. */
class Field {
  constructor(description, value) {
    this.d = description;
    this.name = description.name;
    this.id = unique(description.name);
    this.error = h("p", { class: "error-text", id: `${this.id}-error`, hidden: true });
    this.build(value ?? description.value);
  }

  get described() {
    return [this.d.hint ? `${this.id}-hint` : null, `${this.id}-error`].filter(Boolean).join(" ");
  }

  label(tagName = "label") {
    const text = [this.d.label, this.d.optional && !this.d.bare ? h("span", { class: "optional" }, " (optional)") : null];
    return h(tagName, tagName === "label" ? { for: this.id } : null, text);
  }

  hint() {
    return this.d.hint ? h("div", { class: "hint", id: `${this.id}-hint` }, this.d.hint) : null;
  }

  build(value) {
    const d = this.d;
    const type = d.type ?? "text";
    const common = { id: this.id, name: d.name, "aria-describedby": this.described, autocomplete: d.autocomplete ?? "off" };
    if (type === "select") {
      const options = d.options.map(([id, title]) => h("option", { value: id, selected: id === value }, title));
      this.control = h("select", common, d.optional || value === undefined ? h("option", { value: "" }, d.empty ?? "Select") : null, options);
      if (value !== undefined) this.control.value = value;
      this.read = () => this.control.value || undefined;
      if (d.onchange) this.control.addEventListener("change", () => d.onchange(this.control.value));
    } else if (type === "radios" || type === "checkboxes") {
      const multiple = type === "checkboxes";
      const chosen = new Set(multiple ? (value ?? []) : [value]);
      this.inputs = d.options.map(([id, title, hint], i) => {
        const inputId = i === 0 ? this.id : `${this.id}-${i}`;
        const input = h("input", { type: multiple ? "checkbox" : "radio", id: inputId, name: d.name, value: id, checked: chosen.has(id), "aria-describedby": hint ? `${inputId}-hint` : null });
        return { input, row: h("div", { class: "choice" }, input, h("label", { for: inputId }, title), hint ? h("div", { class: "hint", id: `${inputId}-hint` }, hint) : null) };
      });
      this.control = this.inputs[0]?.input;
      this.element = h("fieldset", { class: "field", "aria-describedby": this.described }, h("legend", null, d.label, d.optional ? h("span", { class: "optional" }, " (optional)") : null), this.hint(), this.error, this.inputs.map((i) => i.row), d.options.length === 0 ? h("p", null, d.none ?? "None available.") : null);
      this.read = () => {
        const on = this.inputs.filter((i) => i.input.checked).map((i) => i.input.value);
        return multiple ? on : on[0];
      };
      return;
    } else if (type === "checkbox") {
      this.control = h("input", { type: "checkbox", id: this.id, name: d.name, checked: value === true, "aria-describedby": this.described });
      this.element = h("div", { class: "field" }, this.error, h("div", { class: "choice" }, this.control, h("label", { for: this.id }, d.label), this.hint()));
      this.read = () => this.control.checked;
      return;
    } else if (type === "birth-date") {
      const [year, month, day] = String(value ?? "").split("-");
      const part = (name, label, width, text, auto) => {
        const id = name === "month" ? this.id : `${this.id}-${name}`;
        const input = h("input", { id, name: `${d.name}-${name}`, inputmode: "numeric", autocomplete: auto, class: width, value: text ?? "" });
        return { input, element: h("div", null, h("label", { for: id }, label), input) };
      };
      const parts = [part("month", "Month", "w2", month, "bday-month"), part("day", "Day", "w2", day, "bday-day"), part("year", "Year", "w4", year, "bday-year")];
      this.control = parts[0].input;
      this.element = h("fieldset", { class: "field", "aria-describedby": this.described }, this.label("legend"), this.hint(), this.error, h("div", { class: "date" }, parts.map((p) => p.element)));
      this.read = () => {
        const [m, dd, y] = parts.map((p) => p.input.value.trim());
        return m || dd || y ? `${y}-${m.padStart(2, "0")}-${dd.padStart(2, "0")}` : undefined;
      };
      return;
    } else if (type === "textarea") {
      this.control = h("textarea", { ...common, rows: d.rows ?? 6, maxlength: d.maxlength });
      this.control.value = value ?? "";
      this.read = () => this.control.value.trim() || undefined;
    } else if (type === "file") {
      this.control = h("input", { ...common, type: "file", accept: d.accept });
      this.read = () => this.control.files[0];
    } else {
      this.control = h("input", { ...common, type, inputmode: d.inputmode, maxlength: d.maxlength, autofocus: d.autofocus, class: d.width ?? "", spellcheck: d.spellcheck ?? (type === "password" || d.plain ? "false" : null), autocapitalize: d.plain ? "none" : null, value: value ?? "" });
      this.read = () => (type === "password" ? this.control.value : this.control.value.trim()) || undefined;
    }
    let control = this.control;
    if (type === "password") {
      const button = h("button", { type: "button", class: "quiet", "aria-controls": this.id, onclick: () => {
        const hidden = this.control.type === "password";
        this.control.type = hidden ? "text" : "password";
        button.textContent = hidden ? "Hide" : "Show";
        button.setAttribute("aria-label", hidden ? `Hide ${d.label.toLowerCase()}` : `Show ${d.label.toLowerCase()}`);
      }, "aria-label": `Show ${d.label.toLowerCase()}` }, "Show");
      control = h("div", { class: "with-button" }, this.control, button);
    }
    this.element = h("div", { class: "field" }, this.label(), this.hint(), this.error, control);
  }

  fail(text) {
    this.error.textContent = text ?? "";
    this.error.hidden = !text;
    this.element.classList.toggle("invalid", Boolean(text));
    const inputs = this.control ? [this.control] : [];
    for (const input of inputs) {
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  }
}

export const asSentence = (label, detail) => {
  const subject = label.replace(/\?$/, "");
  const text = detail.trim();
  if (/^[A-Z]/.test(text)) return text;
  if (/^(must|can|is|has|contains|does|needs) ?/.test(text)) return `${subject} ${text}${/[.!?]$/.test(text) ? "" : "."}`;
  return `${subject}: ${text}${/[.!?]$/.test(text) ? "" : "."}`;
};

/** The box at the top of a form that lists what is wrong, with the help desk where it is needed. */
export function summary(problem, items) {
  const help = problem?.help_desk;
  return h(
    "div",
    { class: "notice error", role: "alert", tabindex: "-1" },
    h("h2", null, "There is a problem"),
    items.length ? h("ul", null, items.map(([text, id]) => h("li", null, id ? h("a", { href: `#${id}`, onclick: (e) => {
      e.preventDefault();
      document.getElementById(id)?.focus();
    } }, text) : text))) : h("p", null, problem?.detail),
    help && !String(problem.detail).includes(help.phone) ? h("p", null, `${help.name}: `, h("a", { href: `tel:${help.phone.replace(/[^\d+]/g, "")}` }, help.phone), `, ${help.hours}`) : null,
  );
}

/**
 * Creates a form.
 * - fields: descriptions, or nodes that are shown between fields
 * - values: what the fields contain at first
 * - submit: the text of the button
 * - send(values, key): sends the request; a Problem is shown, and `problemAt` can move it elsewhere
 */
export function form({ fields, values = {}, submit = "Continue", cancel, send, danger = false, others, failAt }) {
  const built = [];
  const element = h("form", { novalidate: true, method: "post", action: "" });
  const place = h("div");
  const status = h("p", { class: "hidden", role: "status" });
  const button = h("button", { type: "submit", class: danger ? "danger" : "primary" }, submit);
  append(element, place);
  for (const field of fields) {
    if (!field) continue;
    if (field instanceof Node) {
      append(element, field);
    } else {
      const made = new Field(field, values[field.name]);
      built.push(made);
      append(element, made.element);
    }
  }
  append(element, [h("div", { class: "buttons" }, button, cancel ? h("a", { href: cancel.href, class: "button-link" }, cancel.text ?? "Cancel") : null, others), status]);

  const show = (problem, found) => {
    const items = found.map(([field, text]) => [text, field?.control?.id]);
    for (const field of built) field.fail(undefined);
    for (const [field, text] of found) field?.fail(text);
    const box = summary(problem, items);
    // At the top of the page, before the heading, unless the form is one of several.
    const main = element.closest("main");
    if (main && !element.matches(".inline, .row") && !place.matches("main > *")) main.insertBefore(place, main.querySelector("h1"));
    place.replaceChildren(box);
    if (!document.title.startsWith("Error: ")) document.title = `Error: ${document.title}`;
    focus(box);
    box.scrollIntoView({ block: "nearest" });
  };

  const read = () => Object.fromEntries(built.map((f) => [f.name, f.read()]));

  const missing = () =>
    built
      .filter((f) => {
        const value = f.read();
        const empty = value === undefined || value === false || (Array.isArray(value) && value.length === 0);
        return empty && !f.d.optional && f.d.type !== "checkboxes" && !(f.d.type === "checkbox" && !f.d.required);
      })
      .map((f) => [f, f.d.missing ?? (f.d.type === "checkbox" ? "Select the box to continue." : `Enter ${lower(f.d.label)}.`)]);

  let busy = false;
  let key;
  let sent;
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    const found = missing();
    if (found.length) return show({ errors: [] }, found);
    const current = read();
    const fingerprint = JSON.stringify(current);
    if (fingerprint !== sent) {
      key = newKey();
      sent = fingerprint;
    }
    busy = true;
    button.setAttribute("aria-disabled", "true");
    button.classList.add("busy");
    status.textContent = "Sending";
    try {
      let again = true;
      while (again) {
        again = false;
        try {
          await send(current, key, { show });
        } catch (error) {
          const recovers = error instanceof Problem && state.me && { "not-signed-in": state.signInAgain, "step-up-required": state.confirm }[error.kind];
          again = recovers ? await recovers() : false;
          if (!again) throw error;
        }
      }
    } catch (error) {
      if (!(error instanceof Problem)) {
        console.error(error);
        show({ detail: "Something went wrong on this page. Reload it and try again." }, []);
        return;
      }
      if (error.kind === "next-step-required") return state.restart();
      if (error.status !== 0) sent = undefined;
      if (failAt?.(error, show)) return;
      const of = (name) => built.find((f) => f.name === name) ?? built.find((f) => name.startsWith(`${f.name}.`) || name.startsWith(`${f.name}[`)) ?? built.find((f) => f.name.startsWith(`${name}.`) || f.name.startsWith(`${name}[`));
      const matched = error.errors.map((e) => [of(e.field), e]);
      const found = matched.map(([field, e]) => [field, asSentence(field?.d.label ?? labelOf(e.field), e.detail)]);
      show(error, found);
    } finally {
      busy = false;
      button.removeAttribute("aria-disabled");
      button.classList.remove("busy");
      status.textContent = "";
    }
  });
  element.fields = built;
  element.show = show;
  element.read = read;
  element.clear = () => place.remove();
  return element;
}

const lower = (label) => {
  const text = label.replace(/\?$/, "");
  const first = text.split(" ")[0];
  const plain = first === first.toUpperCase() && first.length > 1 ? text : text[0].toLowerCase() + text.slice(1);
  return /^(your|the|a|an) /.test(plain) ? plain : `the ${plain}`.replace(/^the (what|which|where) /, "$1 ");
};

const labelOf = (field) => {
  const text = field.split(/[.[\]]+/).filter((p) => p && !/^\d+$/.test(p)).pop().replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
};

/** A button that does one thing; a problem is shown above it. */
export function action(text, send, { kind = "secondary", done } = {}) {
  const made = form({ fields: [], submit: text, send: async (_, key) => {
    await send(key);
    await done?.();
  } });
  made.classList.add("inline");
  made.querySelector("button").className = kind;
  return made;
}
