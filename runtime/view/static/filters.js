// The filters: cameras, times, how many moments, how sure. Some change the question, some only what is shown of its answer.

import { CameraList } from "./cameras.js";
import { button, byId, make } from "./dom.js";
import { fresh } from "./state.js";
import { words } from "./strings.js";
import { fromField, toField } from "./times.js";

export class Filters {
  /** @param {object} on `asked()`: the question is another one; `shown()`: only what is shown of the answer */
  constructor(on) {
    this.on = on;
    this.cameras = new CameraList(() => on.asked());
    this.from = make("input", { type: "datetime-local", on: { change: () => on.asked() } });
    this.to = make("input", { type: "datetime-local", on: { change: () => on.asked() } });
    this.dailyFrom = make("input", { type: "time", on: { change: () => on.asked() } });
    this.dailyTo = make("input", { type: "time", on: { change: () => on.asked() } });
    this.topK = make("input", { type: "number", min: 1, max: 100, step: 1, on: { change: () => on.asked() } });
    this.accepted = make("input", { type: "number", min: 0, step: "any", placeholder: words.acceptedPlace, on: { change: () => on.asked() } });
    this.leastSaid = make("output", {});
    this.least = make("input", { type: "range", min: 0, max: 100, step: 1, on: { input: () => this.sayLeast(), change: () => on.shown() } });
    this.foundOnly = make("input", { type: "checkbox", on: { change: () => on.shown() } });
    this.problem = make("p", { class: "problem small", role: "alert", hidden: true });
    this.clocks = make("p", { class: "soft small", text: words.noClocks, hidden: true });
    this.times = make(
      "div", { class: "fields" },
      labelled(words.from, this.from), labelled(words.to, this.to),
      make("div", { class: "row" }, button(words.wholeTime, () => this.setRange(null)), button(words.lastDay, () => this.setRange(1)), button(words.lastWeek, () => this.setRange(7))),
      make("div", { class: "row pair" }, labelled(words.dailyFrom, this.dailyFrom), labelled(words.dailyTo, this.dailyTo)),
    );
    byId("filter-fields").append(
      this.cameras.element, this.times, this.clocks,
      make(
        "div", { class: "fields" },
        labelled(words.least, make("span", { class: "row" }, this.least, this.leastSaid)),
        make("label", { class: "check", title: words.foundOnlyHint }, this.foundOnly, ` ${words.foundOnly}`),
        labelled(words.topK, this.topK), labelled(words.accepted, this.accepted),
      ),
      this.problem,
      button(words.reset, () => this.clear()),
    );
  }

  /** Show a state. */
  write(state, archive) {
    this.archive = archive;
    this.cameras.write(archive.cameras, state.cameras);
    this.from.value = toField(state.from);
    this.to.value = toField(state.to);
    this.dailyFrom.value = state.dailyFrom;
    this.dailyTo.value = state.dailyTo;
    this.topK.value = state.topK;
    this.accepted.value = state.accepted ?? "";
    this.least.value = state.least;
    this.foundOnly.checked = state.foundOnly;
    this.times.hidden = archive.from_s === null;
    this.clocks.hidden = archive.from_s !== null || archive.cameras.length === 0;
    this.sayLeast();
  }

  /** Show what an archive holds now; what is chosen stays. */
  update(state, archive) {
    this.write(this.archive ? { ...state, ...this.values() } : state, archive);
  }

  values() {
    const accepted = parseFloat(this.accepted.value);
    return {
      cameras: this.cameras.read(),
      from: fromField(this.from.value), to: fromField(this.to.value), dailyFrom: this.dailyFrom.value, dailyTo: this.dailyTo.value,
      topK: Math.min(100, Math.max(1, Math.round(Number(this.topK.value) || 20))), accepted: accepted > 0 ? accepted : null,
      least: Number(this.least.value), foundOnly: this.foundOnly.checked,
    };
  }

  /** What is chosen, as parts of a state; or null where it makes no sense, which is said. */
  read() {
    const chosen = this.values();
    const problem = this.problemOf(chosen);
    this.problem.hidden = problem === null;
    this.problem.textContent = problem ?? "";
    if (problem === null) return chosen;
    byId("filters").open = true;
    return null;
  }

  problemOf(chosen) {
    if (chosen.cameras?.length === 0 && this.archive.cameras.length > 0) return words.camerasNone;
    if (chosen.from !== null && chosen.to !== null && chosen.to <= chosen.from) return words.endsEarly;
    if (Boolean(chosen.dailyFrom) !== Boolean(chosen.dailyTo)) return words.dailyBoth;
    return null;
  }

  setRange(days) {
    const end = this.archive.to_s;
    this.from.value = days === null ? "" : toField(end - days * 86400);
    this.to.value = "";
    this.on.asked();
  }

  clear() {
    this.write({ ...fresh() }, this.archive);
    this.on.asked();
  }

  sayLeast() {
    this.leastSaid.textContent = words.leastOf(this.least.value);
    this.least.setAttribute("aria-valuetext", words.leastOf(this.least.value));
  }
}

const labelled = (text, field) => make("label", {}, make("span", { text }), field);
