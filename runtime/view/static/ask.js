// One search at a time: its events become answers and strips; a new one ends the one before.

import { readEvents, searchOf } from "./api.js";
import { Heat } from "./heat.js";
import { bestOf, keptMoment } from "./moments.js";
import { words } from "./strings.js";

/** The time over which clock strips reach: what is filtered, or all there is. */
export function wholeOf(state, archive) {
  const from = state.from ?? archive.from_s ?? 0;
  return { from, to: Math.max(state.to ?? archive.to_s ?? 1, from + 1) };
}

export class Search {
  /** @param {object} on `progress(what, done, total)`, `changed(isFinal)`, `failed(message)`, `ended()`, `heat(heat)` */
  constructor(on) {
    this.on = on;
    this.running = null;
    this.zooming = null;
  }

  /** Ask; what came before is forgotten. */
  async ask(state, archive, window, bins) {
    this.stop();
    const running = (this.running = new AbortController());
    const cameras = new Map(archive.cameras.map((camera) => [camera.id, camera]));
    const parts = state.sentences.map((sentence) => ({ sentence, moments: [], candidate: null, notes: [], isFinal: false }));
    Object.assign(this, { parts, cameras, leftOut: [], hours: null, calibration: null, topK: state.topK });
    const heat = this.heatFor(window, bins, state.sentences.length, cameras);
    let isWhole = false;
    try {
      await readEvents(`/api/ask?${withStrips(searchOf(state, archive), window, bins)}`, running.signal, (event, data) => {
        if (running.signal.aborted) return;
        if (event === "progress") this.on.progress(data.what, data.done, data.total);
        else if (event === "recording") this.takeRecording(data, heat);
        else if (event === "answers") isWhole = this.takeAnswers(data);
        else if (event === "failed") throw new Error(data.message);
      });
      if (!isWhole && !running.signal.aborted) throw new Error(words.strayEnd);
    } catch (error) {
      if (!running.signal.aborted) this.on.failed(error.message);
    }
    if (this.running !== running) return;
    this.running = null;
    this.on.ended();
  }

  /** End the search and what zooming asks; what has come stays. */
  stop() {
    this.running?.abort();
    this.zooming?.abort();
    this.running = this.zooming = null;
  }

  /** Ask for strips alone, of some cameras over a window, and take them over as they are whole. */
  async askStrips(state, archive, cameras, window, bins) {
    this.zooming?.abort();
    const zooming = (this.zooming = new AbortController());
    const known = new Map(archive.cameras.map((camera) => [camera.id, camera]));
    const heat = this.heatFor(window, bins, state.sentences.length, known);
    const given = withStrips(searchOf({ ...state, cameras }, archive), window, bins);
    try {
      await readEvents(`/api/strips?${given}`, zooming.signal, (event, data) => {
        if (event === "recording") data.strips.forEach((strip) => heat.take(strip));
        else if (event === "failed") throw new Error(data.message);
      });
      if (!zooming.signal.aborted && this.heat) {
        this.heat.replaceBy(heat);
        this.on.heat(this.heat);
      }
    } catch (error) {
      if (!zooming.signal.aborted) this.on.failed(error.message);
    }
  }

  heatFor(window, bins, sentences, cameras) {
    return new Heat(sentences, bins, (id) => (cameras.get(id).clock ? window : { from: 0, to: cameras.get(id).to_s }));
  }

  takeRecording(data, heat) {
    data.strips.forEach((strip) => heat.take(strip));
    data.moments.forEach((moments, query) => {
      const part = this.parts[query];
      part.moments = bestOf([...part.moments, ...moments.map((moment) => keptMoment(moment, query, true, this.cameras))], this.topK);
    });
    this.heat = heat;
    this.on.heat(heat);
    this.on.changed(false);
  }

  takeAnswers(data) {
    data.answers.forEach((answer, query) => {
      const best = answer.best_candidate;
      Object.assign(this.parts[query], {
        moments: answer.moments.map((moment) => keptMoment(moment, query, true, this.cameras)),
        candidate: best && keptMoment(best, query, false, this.cameras),
        notes: answer.notes, isFinal: true,
      });
    });
    this.leftOut = data.left_out;
    this.hours = data.answers[0]?.hours ?? 0;
    this.calibration = data.answers[0]?.calibration ?? null;
    this.on.changed(true);
    return true;
  }
}

function withStrips(given, window, bins) {
  given.set("bins", bins);
  if (window) {
    given.set("strip_from", window.from);
    given.set("strip_to", window.to);
  }
  return given;
}
