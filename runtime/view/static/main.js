// The page: puts the parts together, and keeps what is asked and shown.

import { Answers } from "./answers.js";
import { getJson } from "./api.js";
import { Search, wholeOf } from "./ask.js";
import { byId, fillIn, isTyping, later, make, paced, setChildren, show } from "./dom.js";
import { listenForDrops } from "./drop.js";
import { Filters } from "./filters.js";
import { addHandover } from "./handover.js";
import { Jobs } from "./jobs.js";
import { isMeant, linkOf } from "./moments.js";
import { Player } from "./player.js";
import { SearchBar } from "./searchbar.js";
import { fromHash, keep, remember } from "./state.js";
import { Strips } from "./strips.js";
import { words } from "./strings.js";

const ASK_AFTER_MS = 500; // after a filter was changed
const DRAW_EVERY_MS = 120; // while recordings are answered
const SAY_AFTER_MS = 2000; // a screen reader is not told of every recording
const LOOK_AGAIN_MS = [1000, 5000]; // after a video is prepared: the server lists its folders anew in the background

let state = fromHash(location.hash);
let archive = null;
let saidAt = 0;

fillIn(document);
setChildren(byId("care-list"), words.careList.map((text) => make("li", { text })));
setChildren(byId("keys-list"), words.keysList.flatMap(([key, text]) => [make("dt", {}, make("kbd", { text: key })), make("dd", { text })]));
byId("care-open").addEventListener("click", () => byId("care").showModal());
byId("filters").open = byId("results").clientWidth > 0 && matchMedia("(min-width: 60rem)").matches;
byId("feeding").open = byId("filters").open;

const bar = new SearchBar({ ask: () => ask(true), stop: () => stop() });
const answers = new Answers((key) => openMoment(key));
const redraw = paced(() => draw(), DRAW_EVERY_MS);
const search = new Search({
  progress: onProgress,
  changed: (isFinal) => (isFinal ? onAnswers() : redraw()),
  failed: (message) => onFailed(message),
  ended: () => onEnded(),
  heat: (heat) => strips.setHeat(heat),
});
const filters = new Filters({ asked: later(() => ask(true), ASK_AFTER_MS), shown: () => onShown() });
const strips = new Strips({
  zoomed: (cameras, window, bins) => search.askStrips(state, archive, cameras, window ?? strips.clockView.now, bins),
  play: (camera, at, near) => playAt(camera, at, near),
  open: (key) => openMoment(key),
  moved: (view) => remember((state = { ...state, view }), false),
});
const player = new Player({ step, opened: (moment) => onOpened(moment), closed: (moment) => onClosed(moment) });
const lookAgain = later(() => load(), LOOK_AGAIN_MS[0]);
const lookOnceMore = later(() => load(), LOOK_AGAIN_MS[1]);
const jobs = new Jobs({ changed: () => (lookAgain(), lookOnceMore()) });
listenForDrops(() => archive?.folders ?? [], (folder) => jobs.prepare([folder]), (text) => (jobs.said.textContent = text));
addHandover(() => ({ state, archive }));
document.addEventListener("keydown", onKey);
window.addEventListener("popstate", () => begin());

await load();
if (archive) begin();
if (!state.sentences.length) bar.focus();

/** Read what the archive holds now. */
async function load() {
  try {
    archive = await getJson("/api/archive");
  } catch (error) {
    complain(error.message);
    return;
  }
  byId("summary").textContent = words.summary(archive.cameras.length, words.hours(archive.hours), archive.bundle);
  bar.offer(archive);
  filters.update(state, archive);
  jobs.setFolders(archive.folders);
  drawLeftOut(archive.left_out);
  if (!archive.cameras.length) {
    byId("status").textContent = words.nothingReady;
    byId("feeding").open = true;
  } else if (byId("status").textContent === words.nothingReady) byId("status").textContent = "";
}

/** Show and ask what the address says. */
function begin() {
  state = fromHash(location.hash);
  bar.write(state.sentences);
  filters.write(state, archive);
  if (state.sentences.length) ask(false);
  else clear();
}

function ask(isByHand) {
  const chosen = archive && filters.read();
  const sentences = bar.read();
  if (!chosen) return;
  complain(null);
  if (!sentences.length) {
    clear();
    byId("status").textContent = words.nothingAsked;
    return;
  }
  state = { ...state, ...chosen, sentences };
  if (isByHand) {
    Object.assign(state, { view: null, moment: null });
    keep(sentences);
    bar.drawHistory();
    remember(state, true);
  }
  const shown = archive.cameras.filter((camera) => !state.cameras || state.cameras.includes(camera.id));
  answers.clear();
  show(byId("handover"), false);
  strips.begin(shown, sentences, wholeOf(state, archive), state.view);
  say(words.starting, true);
  show(byId("progress"), true);
  byId("progress").removeAttribute("value");
  bar.setBusy(true);
  search.ask(state, archive, shown.some((camera) => camera.clock) ? { ...strips.clockView.now } : null, strips.bins);
  draw();
}

function stop() {
  search.stop();
  onEnded();
  byId("status").textContent = words.stopped;
}

function clear() {
  search.stop();
  onEnded();
  search.parts = [];
  answers.clear();
  for (const id of ["strips", "handover"]) show(byId(id), false);
  byId("status").textContent = archive?.cameras.length === 0 ? words.nothingReady : "";
}

function onProgress(what, done, total) {
  if (total) Object.assign(byId("progress"), { max: total, value: Math.min(done, total) });
  else byId("progress").removeAttribute("value");
  say(what === "requests" ? words.starting : words.progressOf(what, done, total));
}

function onAnswers() {
  draw();
  const found = search.parts.reduce((sum, part) => sum + part.moments.length, 0);
  const told = words.finished(found, search.parts.length, words.hours(search.hours));
  say(search.calibration ? `${told} ${words.calibration(search.calibration)}` : told, true);
  if (search.leftOut.length) drawLeftOut(search.leftOut);
  show(byId("handover"), true);
  if (state.moment && !player.isOpen) {
    const meant = [...moments(), ...candidates()].find((moment) => isMeant(moment, state.moment));
    if (meant) openMoment(meant.key);
    else say(words.notAmong, true);
  }
}

function onFailed(message) {
  if (search.running) say("", true); // else it would still tell of a search that goes on
  complain(message);
}

function onEnded() {
  bar.setBusy(false);
  show(byId("progress"), false);
}

/** What the filters leave of the answer, in the order in which it is shown. */
function visible(part) {
  return part.moments.filter((moment) => !state.least || 100 * (moment.data.confidence ?? 1) >= state.least);
}

function moments() {
  return (search.parts ?? []).flatMap(visible);
}

function candidates() {
  return (search.parts ?? []).map((part) => !state.foundOnly && !part.moments.length && part.candidate).filter(Boolean);
}

function draw() {
  const parts = (search.parts ?? []).map((part) => {
    const left = visible(part);
    return { ...part, moments: left, hidden: part.moments.length - left.length, candidate: part.moments.length || state.foundOnly ? null : part.candidate };
  });
  answers.draw(parts, search.cameras ?? new Map());
  strips.setMoments(moments(), state.foundOnly);
}

function onShown() {
  const chosen = filters.read();
  if (!chosen) return;
  state = { ...state, least: chosen.least, foundOnly: chosen.foundOnly };
  remember(state, false);
  draw();
}

function openMoment(key) {
  const moment = [...moments(), ...candidates()].find((one) => one.key === key);
  if (!moment) return;
  const part = search.parts[moment.query];
  const among = visible(part);
  player.openMoment(moment, part.sentence, among.indexOf(moment) + 1, among.length, search.cameras);
}

async function playAt(camera, at, near) {
  try {
    const found = await getJson(`/api/at?camera=${camera.id}&at=${Math.max(0, at).toFixed(3)}&near=${near.toFixed(3)}`);
    complain(null);
    player.openAt(camera, at, found);
  } catch (error) {
    complain(error.message);
  }
}

/** To the next (1) or previous (-1) moment: in the player, else among the cards. */
function step(by) {
  const all = moments();
  if (!all.length) return;
  const now = all.findIndex((moment) => (player.isOpen ? moment.isOpen : moment.key === answers.focused()));
  const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by))];
  if (!player.isOpen) answers.focus(next);
  else if (!next.isOpen) openMoment(next.key);
}

function onOpened(moment) {
  for (const one of [...moments(), ...candidates()]) one.isOpen = one === moment;
  state = { ...state, moment: moment && linkOf(moment) };
  remember(state, false);
  strips.redraw();
}

function onClosed(moment) {
  onOpened(null);
  if (moment) answers.focus(moment);
}

function onKey(event) {
  if (isTyping(event) || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { n: () => step(1), j: () => step(1), p: () => step(-1), k: () => step(-1), "/": () => bar.focus() }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function drawLeftOut(files) {
  show(byId("left-out"), files.length > 0);
  byId("left-out-title").textContent = words.leftOut(files.length);
  setChildren(byId("left-out-list"), files.flatMap(({ file, reason }) => [make("dt", { text: file }), make("dd", { text: reason })]));
}

function complain(message) {
  show(byId("problem"), message !== null, message ?? "");
}

/** Tell how it goes; at most every few seconds, unless it matters. */
function say(text, matters = false) {
  if (!matters && performance.now() - saidAt < SAY_AFTER_MS) return;
  saidAt = performance.now();
  byId("status").textContent = text;
}
