// The search form: a field for each sentence, examples, kinds of object, and earlier sentences.

import { button, byId, make, setChildren } from "./dom.js";
import { earlier, forget, MOST_SENTENCES } from "./state.js";
import { words } from "./strings.js";

export class SearchBar {
  /** @param {object} on `ask()`, `stop()` */
  constructor(on) {
    this.on = on;
    this.fields = [];
    byId("ask").addEventListener("submit", (event) => (event.preventDefault(), on.ask()));
    byId("ask-stop").addEventListener("click", () => on.stop());
    byId("add-sentence").addEventListener("click", () => this.add("").focus());
    byId("forget").addEventListener("click", () => (forget(), this.drawHistory()));
    this.add("");
    this.drawHistory();
  }

  /** The sentences, without empty ones and each once. */
  read() {
    return [...new Set(this.fields.map((field) => field.value.trim()).filter(Boolean))].slice(0, MOST_SENTENCES);
  }

  write(sentences) {
    this.fields = [];
    byId("sentences").replaceChildren();
    for (const sentence of sentences.length ? sentences : [""]) this.add(sentence);
  }

  focus() {
    this.fields[0].focus();
  }

  /** Add a field; returns it. */
  add(sentence) {
    if (this.fields.length >= MOST_SENTENCES) return this.fields.at(-1);
    const field = make("input", { type: "text", list: "history", maxlength: 1000, placeholder: words.sentencePlace, spellcheck: "false", enterkeyhint: "search", class: "sentence-field" });
    field.value = sentence;
    field.addEventListener("paste", (event) => this.onPaste(event, field));
    const remove = button("✕", () => this.remove(field), { class: "remove" });
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    byId("sentences").append(make("div", { class: "sentence-row" }, swatch, field, remove));
    this.fields.push(field);
    this.number();
    return field;
  }

  remove(field) {
    const place = this.fields.indexOf(field);
    this.fields.splice(place, 1);
    field.parentElement.remove();
    if (!this.fields.length) this.add("");
    this.number();
    this.fields[Math.min(place, this.fields.length - 1)].focus();
  }

  /** Lines that are pasted are sentences. */
  onPaste(event, field) {
    const lines = (event.clipboardData?.getData("text") ?? "").split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
    if (lines.length < 2) return;
    event.preventDefault();
    field.value = lines[0];
    for (const line of lines.slice(1)) this.add(line);
  }

  /** Put a sentence into the first empty field, or a new one; takes it out where it is there already. */
  toggle(sentence) {
    const there = this.fields.find((field) => field.value.trim() === sentence);
    if (there) return this.remove(there);
    const empty = this.fields.find((field) => !field.value.trim());
    if (empty) empty.value = sentence;
    else this.add(sentence);
    this.number();
  }

  number() {
    const isAlone = this.fields.length === 1;
    this.fields.forEach((field, place) => {
      const [swatch, , remove] = field.parentElement.children;
      field.setAttribute("aria-label", words.sentence(place + 1));
      remove.setAttribute("aria-label", words.removeSentence(place + 1));
      remove.hidden = isAlone;
      swatch.hidden = isAlone;
      swatch.className = `swatch s${place + 1}`;
      swatch.textContent = place + 1;
    });
    byId("add-sentence").disabled = this.fields.length >= MOST_SENTENCES;
    byId("add-sentence").title = words.atMost(MOST_SENTENCES);
  }

  /** Examples and kinds of the archive's bundle. */
  offer({ examples, kinds }) {
    byId("ideas").hidden = !examples.length && !kinds.length;
    const ask = (sentence) => button(sentence, () => (this.write([sentence]), this.on.ask()), { class: "chip" });
    setChildren(byId("examples"), examples.length ? [make("span", { class: "soft small", text: words.examplesShort }), ...examples.map(ask)] : []);
    const add = (kind) => button(kind, () => (this.toggle(words.kindSentence(kind)), this.on.ask()), { class: "chip", title: words.kindHint(kind) });
    setChildren(byId("kinds"), kinds.length ? [make("span", { class: "soft small", text: words.kindsShort }), ...kinds.map(add)] : []);
  }

  drawHistory() {
    const known = earlier();
    setChildren(byId("history"), known.map((sentence) => make("option", { value: sentence })));
    setChildren(byId("recent-list"), known.map((sentence) => make("li", {}, button(sentence, () => (this.write([sentence]), this.on.ask()), { class: "link" }))));
    byId("recent").hidden = known.length === 0;
  }

  /** Whether a search runs; then examples make room for the answers. */
  setBusy(isBusy) {
    if (isBusy) byId("ideas").open = false;
    byId("ask-stop").hidden = !isBusy;
  }
}
