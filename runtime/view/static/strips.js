// The rows of heat strips: one for each camera, with moments, a cursor, zoom and pan.

import { colours, drawAxis, sharpen, unit } from "./axis.js";
import { byId, button, isTyping, later, make, setChildren, show } from "./dom.js";
import { share } from "./heat.js";
import { drawStrip, heightOf } from "./paint.js";
import { listenTo, NEAR_PX } from "./pointing.js";
import { words } from "./strings.js";
import { between, timeOf } from "./times.js";
import { View } from "./view.js";

const AXIS_PX = 24;
const ASK_AFTER_MS = 250;
const MOST_BINS = 4096;

/**
 * @typedef {{id: string, name: string, clock: boolean, from_s: number, to_s: number}} Camera
 */
export class Strips {
  /**
   * @param {object} calls `zoomed(cameras, window, bins)`: finer strips are wanted, of a camera without a clock of it alone;
   *   `play(camera, at, near)`: of a time; `open(moment)`: of a moment; `moved()`: the view is another one
   */
  constructor(calls) {
    this.calls = calls;
    this.rows = new Map();
    this.heat = this.last = null;
    this.moments = [];
    this.sentences = [];
    this.clockView = new View({ from: 0, to: 1 });
    this.axis = byId("axis");
    this.askFiner = later((row) => this.wantFiner(row), ASK_AFTER_MS);
    this.redraw = later(() => this.drawAll(), 0);
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.onSeen(entry)), { rootMargin: "200px" });
    new ResizeObserver(() => this.redraw()).observe(byId("strips"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.addZoom();
    listenTo(this.axis, this, null);
  }

  /** Bins that the screen can show. */
  get bins() {
    const wide = this.axis.clientWidth || byId("results").clientWidth || 1200;
    return Math.min(MOST_BINS, Math.max(64, Math.round(wide * (window.devicePixelRatio || 1))));
  }

  /** Begin with a question: which cameras, over which time, with which view (null for the whole). */
  begin(cameras, sentences, whole, view) {
    this.sentences = sentences;
    this.heat = null;
    this.moments = [];
    this.clockView = new View(whole);
    if (view) this.clockView.show(view.from, view.to);
    const before = this.rows;
    this.rows = new Map();
    for (const camera of cameras) this.rows.set(camera.id, Object.assign(before.get(camera.id) ?? this.makeRow(camera), { camera, cursor: null }));
    for (const row of this.rows.values()) row.view = row.camera.clock ? this.clockView : new View({ from: 0, to: row.camera.to_s });
    this.hasClocks = cameras.some((camera) => camera.clock);
    setChildren(byId("strip-rows"), cameras.length ? [...this.rows.values()].map((row) => row.element) : [make("p", { text: words.noStrips })]);
    setChildren(byId("legend"), [
      ...sentences.map((sentence, number) => make("span", { class: `key s${number + 1}` }, make("b", { text: number + 1 }), ` ${sentence}`)),
      make("span", { class: "soft", text: words.stripsHint }),
    ]);
    show(byId("strips"), true);
    show(this.axis, this.hasClocks);
    this.redraw();
  }

  setHeat(heat) {
    this.heat = heat;
    this.redraw();
  }

  /** The moments to mark; with `foundOnly` cameras without one are hidden. */
  setMoments(moments, foundOnly) {
    this.moments = moments;
    const seen = new Set(moments.map((moment) => moment.camera_id));
    for (const [id, row] of this.rows) row.element.hidden = foundOnly && !seen.has(id);
    this.redraw();
  }

  makeRow(camera) {
    const canvas = make("canvas", { tabindex: 0, role: "slider", class: "strip" });
    const element = make("div", { class: "strip-row" }, make("p", { class: "strip-name", text: camera.name }), canvas);
    const row = { camera, canvas, element, cursor: null, isSeen: false, view: this.clockView };
    this.seen.observe(canvas);
    listenTo(canvas, this, row);
    canvas.addEventListener("keydown", (event) => this.onKey(event, row));
    canvas.addEventListener("focus", () => {
      this.last = row;
      this.setCursor(row, this.cursorOf(row));
    });
    canvas.addEventListener("blur", () => this.drawRow(row));
    return row;
  }

  onSeen(entry) {
    for (const row of this.rows.values()) {
      if (row.canvas !== entry.target) continue;
      row.isSeen = entry.isIntersecting;
      if (row.isSeen) this.drawRow(row);
    }
  }

  drawAll() {
    if (byId("strips").hidden) return;
    this.paint = colours();
    this.width = [...this.rows.values()].find((row) => !row.element.hidden)?.canvas.clientWidth ?? 0;
    if (this.hasClocks) {
      const size = sharpen(this.axis, Math.round(AXIS_PX * unit()), this.axis.clientWidth);
      const context = this.axis.getContext("2d");
      context.clearRect(0, 0, size.width, size.height);
      drawAxis(context, { ...size, top: 0 }, this.clockView.now, true, this.paint);
    }
    for (const row of this.rows.values()) this.drawRow(row);
  }

  drawRow(row) {
    this.describe(row);
    const strip = {
      view: row.view.now, isClock: row.camera.clock, lanes: Math.max(1, this.sentences.length), moments: this.momentsOf(row), unit: unit(),
      highest: this.heat && ((query, from, to) => this.heat.highest(row.camera.id, query, from, to)),
      cursor: row.canvas === document.activeElement || row.isHovered ? this.cursorOf(row) : null,
    };
    sharpen(row.canvas, heightOf(strip), this.width);
    if (row.isSeen && this.paint) drawStrip(row.canvas, strip, this.paint);
  }

  momentsOf(row) {
    return this.moments.filter((moment) => moment.camera_id === row.camera.id);
  }

  /** What a screen reader says of a strip and of its cursor. */
  describe(row) {
    const [from, to] = between(row.view.now, row.camera.clock);
    const at = this.cursorOf(row);
    const attributes = {
      "aria-label": words.stripOf(row.camera.name, from, to, this.momentsOf(row).length),
      "aria-valuemin": Math.floor(row.view.now.from), "aria-valuemax": Math.ceil(row.view.now.to), "aria-valuenow": Math.round(at),
      "aria-valuetext": this.saidAt(row, at),
    };
    for (const [name, value] of Object.entries(attributes)) row.canvas.setAttribute(name, value);
  }

  /** Where the cursor is: within the view, also after that has moved. */
  cursorOf(row) {
    const { from, to } = row.view.now;
    return row.cursor === null ? (from + to) / 2 : Math.min(Math.max(row.cursor, from), to);
  }

  saidAt(row, at) {
    const pixel_s = row.view.span / Math.max(1, row.canvas.width);
    const values = this.sentences.map((_, number) => this.heat?.highest(row.camera.id, number, at - pixel_s / 2, at + pixel_s / 2) ?? NaN);
    const told = values.every(Number.isNaN)
      ? words.stripNothing
      : values.map((value, number) => (Number.isNaN(value) ? null : words.stripValue(number + 1, Math.round(100 * share(value))))).filter(Boolean).join(", ");
    return words.stripAt(timeOf(row.camera, at), told);
  }

  setCursor(row, at) {
    row.cursor = Math.min(Math.max(at, row.view.now.from), row.view.now.to);
    byId("readout").textContent = `${row.camera.name}: ${this.saidAt(row, row.cursor)}`;
    this.drawRow(row);
  }

  onKey(event, row) {
    const steps = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 };
    if (event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    const { whole, span } = row.view;
    const cursor = this.cursorOf(row);
    if (event.key in steps) this.moveTo(row, cursor + steps[event.key] * span);
    else if (event.key === "Home") this.moveTo(row, whole.from);
    else if (event.key === "End") this.moveTo(row, whole.to);
    else if (event.key === "Enter" || event.key === " ") this.choose(row, cursor);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  moveTo(row, at) {
    const before = row.view.now.from;
    const within = Math.min(Math.max(at, row.view.whole.from), row.view.whole.to);
    row.view.reveal(within);
    if (row.view.now.from !== before) this.viewChanged(row);
    this.setCursor(row, within);
  }

  /** Play what lies at a time: the moment there, else the second itself. */
  choose(row, at) {
    const near_s = (NEAR_PX * row.view.span) / Math.max(1, row.canvas.clientWidth);
    const distance = (moment) => Math.max(moment.from - at, at - moment.to, 0);
    const [nearest] = this.momentsOf(row).filter((moment) => distance(moment) <= near_s).sort((one, other) => distance(one) - distance(other));
    if (nearest) this.calls.open(nearest.key);
    else this.calls.play(row.camera, at, near_s);
  }

  addZoom() {
    const zoom = (factor) => () => this.zoom(this.focused(), factor);
    const pan = (part) => () => this.pan(this.focused(), part);
    byId("zoom").append(
      button("+", zoom(0.5), { "aria-label": words.zoomIn, title: `${words.zoomIn} (+)` }),
      button("−", zoom(2), { "aria-label": words.zoomOut, title: `${words.zoomOut} (-)` }),
      button("←", pan(-0.5), { "aria-label": words.earlier, title: words.earlier }),
      button("→", pan(0.5), { "aria-label": words.later, title: words.later }),
      button(words.zoomAll, () => this.showAll()),
    );
    document.addEventListener("keydown", (event) => {
      if (isTyping(event) || byId("strips").hidden || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        "+": zoom(0.5), "=": zoom(0.5), "-": zoom(2), "_": zoom(2), ArrowLeft: event.shiftKey && pan(-0.5), ArrowRight: event.shiftKey && pan(0.5),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  /** The strip that had the focus last, around whose cursor buttons and keys zoom. */
  focused() {
    return this.last && this.rows.get(this.last.camera.id) === this.last ? this.last : null;
  }

  viewOf(row) {
    if (row && !row.camera.clock) return row.view;
    return this.hasClocks ? this.clockView : [...this.rows.values()][0]?.view ?? this.clockView;
  }

  zoom(row, factor, at) {
    this.viewOf(row).zoom(factor, at ?? (row && this.viewOf(row) === row.view ? this.cursorOf(row) : undefined));
    this.viewChanged(row);
  }

  pan(row, part) {
    this.viewOf(row).pan(part);
    this.viewChanged(row);
  }

  showAll() {
    this.clockView.showAll();
    for (const row of this.rows.values()) row.view.showAll();
    this.viewChanged(null);
  }

  viewChanged(row) {
    this.redraw();
    this.calls.moved(this.hasClocks && !this.clockView.isWhole ? this.clockView.now : null);
    this.askFiner(row);
  }

  wantFiner(row) {
    if (row && !row.camera.clock) {
      const finer = (this.bins * (row.view.whole.to - row.view.whole.from)) / row.view.span;
      this.calls.zoomed([row.camera.id], null, Math.min(MOST_BINS, Math.round(finer)));
    } else if (this.hasClocks) {
      const shown = [...this.rows.values()].filter((other) => other.camera.clock).map((other) => other.camera.id);
      this.calls.zoomed(shown, { ...this.clockView.now }, this.bins);
    }
  }
}
