// Answers: a section for each sentence, with a card for each of its moments.

import { stillOf } from "./api.js";
import { byId, make, setChildren } from "./dom.js";
import { linkOf, shownPart } from "./moments.js";
import { words } from "./strings.js";
import { length, wallClock } from "./times.js";

const PICTURE_PX = 320;

export class Answers {
  /** @param {(key: string) => void} open plays a moment */
  constructor(open) {
    this.open = open;
    this.clear();
  }

  /** Drop what is shown. */
  clear() {
    this.cards = new Map();
    this.sections = [];
    this.whole = new Set(); // sentences of which all moments are shown
    byId("answers").replaceChildren();
  }

  /**
   * Show what is known. Cards of moments that stay are kept, with their pictures and the focus.
   * @param {object[]} parts of each sentence: {sentence, moments, candidate, notes, isFinal, hidden}
   * @param {Map} cameras by their ids
   */
  draw(parts, cameras) {
    this.drawn = [parts, cameras];
    const kept = new Map();
    this.sections = parts.map((part, query) => this.sections[query] ?? this.makeSection(part, query));
    setChildren(byId("answers"), this.sections.map((section) => section.element));
    this.sections.forEach((section, query) => {
      section.element.classList.toggle("coloured", parts.length > 1);
      this.fill(section, parts[query], cameras, kept, this.whole.has(query) ? Infinity : firstOnes(section.list, parts.length));
    });
    this.cards = kept;
  }

  /** Show all moments of a sentence, not only the first rows. */
  showWhole(query) {
    this.whole.add(query);
    this.draw(...this.drawn);
  }

  makeSection(part, query) {
    const verdict = make("p", { class: "verdict" });
    const notes = make("div", { class: "note", hidden: true });
    const list = make("ol", { class: "cards" });
    const title = make("h2", { id: `sentence-${query + 1}` }, make("span", { class: `swatch s${query + 1}`, text: query + 1, "aria-hidden": "true" }), words.quoted(part.sentence));
    const more = make("button", { type: "button", class: "link", hidden: true, on: { click: () => this.onMore(query) } });
    const element = make("section", { class: "sentence", "aria-labelledby": title.id }, title, verdict, notes, list, more);
    return { element, verdict, notes, list, more };
  }

  onMore(query) {
    const first = this.sections[query].list.children.length;
    this.showWhole(query);
    this.sections[query].list.children[first]?.querySelector("button").focus();
  }

  fill(section, part, cameras, kept, most) {
    const count = part.moments.length;
    const lines = [count ? (part.isFinal ? words.verdictFound : words.verdictSoFar)(count) : part.isFinal ? words.verdictNone : words.verdictWaiting];
    if (part.hidden) lines.push(words.hiddenOnes(part.hidden));
    if (part.candidate) lines.push(words.bestCandidate);
    section.verdict.textContent = lines.join(". ").replaceAll("..", ".");
    section.notes.hidden = !part.notes.length;
    setChildren(section.notes, [make("p", { text: words.notesTitle }), make("ul", {}, ...part.notes.map((note) => make("li", { text: note.text })))]);
    const shown = part.candidate ? [part.candidate] : part.moments.slice(0, most);
    section.more.hidden = part.moments.length <= most;
    section.more.textContent = words.showMore(count - shown.length);
    setChildren(section.list, shown.map((moment, place) => {
      const card = this.cards.get(moment.key) ?? this.makeCard(moment, cameras);
      kept.set(moment.key, card);
      card.name(place + 1);
      return card.element;
    }));
  }

  makeCard(moment, cameras) {
    const { data } = moment;
    const part = shownPart(data);
    const place = placeOf(data, cameras);
    const play = make("button", { type: "button", class: "play", text: sure(moment), on: { click: () => this.open(moment.key) } });
    const rank = make("span", { class: "rank", "aria-hidden": "true" });
    const element = make(
      "li",
      { class: moment.found ? "card" : "card candidate", "data-key": moment.key },
      make("div", { class: "picture" }, picture(part, data, place), rank),
      make("div", { class: "told" }, play, meter(data.confidence), make("p", { class: "where", text: place.camera }), make("p", { text: place.time }), make("p", { class: "soft small", text: facts(data) })),
    );
    element.addEventListener("click", (event) => event.target !== play && this.open(moment.key));
    return {
      element, play,
      name(number) {
        rank.textContent = moment.found ? number : "?";
        play.setAttribute("aria-label", `${sure(moment)}. ${(moment.found ? words.playMoment(number, place.whole) : words.playCandidate(place.whole))}`);
      },
    };
  }

  /** Put the focus on the card of a moment. */
  focus(moment) {
    if (!this.cards.has(moment.key)) this.showWhole(moment.query);
    const card = this.cards.get(moment.key);
    card?.play.focus();
    card?.element.scrollIntoView({ block: "nearest" });
  }

  /** The key of the moment whose card has the focus. */
  focused() {
    return document.activeElement?.closest?.(".card")?.dataset.key ?? null;
  }
}

/** How many cards are shown at first: two rows of one sentence, one of several, so that the strips are not far below. */
function firstOnes(list, sentences) {
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  return columns < 3 ? 4 : columns * (sentences === 1 ? 2 : 1);
}

/** How sure a moment is, in words. */
export function sure(moment) {
  const { confidence, likelihood, score } = moment.data;
  if (confidence === null || confidence === undefined) return words.scoreOnly(score.toFixed(2));
  const percent = (100 * confidence).toFixed(0);
  return moment.found ? words.likelihood(likelihood, percent) : words.notFoundPercent(percent);
}

/** Camera and time of a moment in words. */
export function placeOf(data, cameras) {
  const camera = cameras.get(data.camera_id);
  const name = data.camera ?? camera?.name ?? data.video;
  const time = data.epoch_s !== null ? wallClock(data.epoch_s) : words.intoVideo(length(data.start_s));
  return { camera: name, time, whole: `${name}, ${time}` };
}

function facts(data) {
  const told = [words.lasts(length(data.end_s - data.start_s))];
  const rate = data.false_alarms_per_hour;
  if (rate !== null && rate !== undefined) told.push(rate < 0.01 ? words.falseAlarmsUnder("0.01") : words.falseAlarms(rate.toPrecision(2)));
  if (linkOf({ data, query: 0 }) === null) told.push(words.noPicture);
  return told.join(" · ");
}

function meter(confidence) {
  const bar = make("span", { class: "meter", "aria-hidden": "true" }, make("span", {}));
  bar.firstChild.style.setProperty("width", `${Math.round(100 * (confidence ?? 0))}%`);
  bar.hidden = confidence === null || confidence === undefined;
  return bar;
}

function picture(part, data, place) {
  if (!part?.video) return make("p", { class: "soft small nothing", text: words.noPicture });
  const at = part.best_s ?? part.start_s;
  const image = make("img", { src: stillOf(part.video, at, PICTURE_PX, data.box), alt: words.pictureOf(place.whole), loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(make("p", { class: "soft small nothing", text: words.brokenPicture })));
  return image;
}
