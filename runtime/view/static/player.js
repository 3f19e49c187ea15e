// The player: a video at the second of a moment, with its box; the next and the previous moment.

import { placeOf, sure } from "./answers.js";
import { getJson } from "./api.js";
import { boxAt, drawBox } from "./boxes.js";
import { byId, button, make } from "./dom.js";
import { copyLink } from "./handover.js";
import { shownPart } from "./moments.js";
import { words } from "./strings.js";
import { length, wallClock } from "./times.js";

const STEP_S = 5;
const EXCERPT_S = 30; // to either side of what is asked for
const MOST_S = 120;

export class Player {
  /** @param {object} calls `step(by)`: another moment; `opened(moment|null)`; `closed(moment|null)` */
  constructor(calls) {
    this.calls = calls;
    this.dialog = byId("player");
    this.turn = 0; // of the newest opening: what comes late for an older one is dropped
    this.boxes = [];
    this.build();
    this.dialog.addEventListener("close", () => this.onClose());
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.video);
  }

  build() {
    this.title = make("h2", { id: "player-title" });
    this.subtitle = make("p", { class: "soft" });
    this.video = make("video", { playsinline: true, preload: "auto", tabindex: -1 });
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.stage = make("div", { class: "stage" }, this.video, this.canvas);
    this.note = make("p", { class: "small note-line", role: "status" });
    this.toggle = button(words.play, () => this.playOrPause(), { class: "main toggle" });
    this.range = make("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": words.seek, on: { input: () => this.seek(Number(this.range.value)) } });
    this.said = make("p", { class: "small at" });
    this.stepButtons = [button(words.previous, () => this.calls.step(-1), { title: "p" }), button(words.next, () => this.calls.step(1), { title: "n" })];
    this.dialog.append(
      make("div", { class: "row player-head" }, make("div", {}, this.title, this.subtitle), button(words.close, () => this.dialog.close(), { title: "Esc" })),
      this.stage, this.note,
      make("div", { class: "row controls" }, this.stepButtons[0], button(words.back, () => this.skip(-STEP_S), { title: "←" }), this.toggle,
        button(words.ahead, () => this.skip(STEP_S), { title: "→" }), this.stepButtons[1], this.range,
        button(words.fullScreen, () => this.fullScreen(), { title: "f" }), button(words.copyLink, () => this.copyLink())),
      this.said,
    );
    const on = { timeupdate: "tell", seeked: "draw", loadeddata: "draw", play: "tellPlaying", pause: "tellPlaying", ended: "goOn", error: "onError" };
    for (const [event, name] of Object.entries(on)) this.video.addEventListener(event, () => this[name]());
    this.video.addEventListener("click", () => this.playOrPause());
    if (this.video.requestVideoFrameCallback) {
      const drawn = (_, frame) => {
        this.draw(frame.mediaTime); // the time of the frame that is seen, to which currentTime is near
        this.video.requestVideoFrameCallback(drawn);
      };
      this.video.requestVideoFrameCallback(drawn);
    }
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** The second of the video that is shown. */
  get at() {
    return this.video.currentTime + (this.offset ?? 0);
  }

  /** Play a moment; `rank` from 1 of `count` moments of its sentence. */
  openMoment(moment, sentence, rank, count, cameras) {
    const place = placeOf(moment.data, cameras);
    this.title.textContent = `${sure(moment)}: ${place.whole}`;
    this.subtitle.textContent = moment.found ? words.playerMoment(sentence, rank, count) : words.playerCandidate(sentence);
    this.moment = moment;
    const shown = moment.data.parts.indexOf(shownPart(moment.data));
    const playsFirst = moment.data.parts[0]?.video ? 0 : shown;
    this.present();
    this.playPart(playsFirst);
  }

  /** Play a second of a camera that is no moment. */
  openAt(camera, at, found) {
    this.title.textContent = camera.name;
    this.subtitle.textContent = camera.clock ? wallClock(at) : words.intoVideo(length(at));
    this.moment = null;
    this.part = null;
    this.present();
    this.load(found.video, found.second, camera.clock ? at - found.second : null, null);
  }

  present() {
    if (!this.dialog.open) {
      this.opener = document.activeElement;
      this.dialog.showModal();
      this.toggle.focus();
    }
    for (const step of this.stepButtons) step.disabled = this.moment === null;
    this.calls.opened(this.moment);
  }

  /** Play the part of the moment that lies in one file. */
  playPart(number) {
    const { data } = this.moment;
    const part = data.parts[number];
    this.part = number;
    const passed = data.parts.slice(0, number).reduce((sum, earlier) => sum + earlier.end_s - earlier.start_s, 0);
    const zero = data.epoch_s === null || !part ? null : data.epoch_s + passed - part.start_s;
    this.load(part?.video ?? null, part?.start_s ?? 0, zero, part === shownPart(data) ? data.track : null);
  }

  async load(video, at, zero, track) {
    const turn = (this.turn += 1);
    const isLate = () => turn !== this.turn;
    this.boxes = [];
    this.zero = zero;
    this.draw();
    if (video === null) {
      this.empty();
      this.note.textContent = words.noVideo;
      return;
    }
    try {
      if (this.id !== video) {
        this.empty();
        this.note.textContent = words.loading;
        const info = await getJson(`/media/${video}/info`);
        if (isLate()) return;
        Object.assign(this, { id: video, info, isDirect: info.playable });
        this.video.setAttribute("aria-label", words.videoAlt(info.name));
        this.range.max = info.duration_s;
      }
      if (track !== null && track !== undefined) this.loadBoxes(video, track, isLate);
      await this.start(at, isLate, true);
    } catch (error) {
      if (!isLate()) this.note.textContent = error.message;
    }
  }

  async loadBoxes(video, track, isLate) {
    const { boxes } = await getJson(`/media/${video}/boxes?track=${track}`).catch(() => ({ boxes: [] })); // the video plays without them, too
    if (isLate()) return;
    this.boxes = boxes;
    this.draw();
  }

  /** Go to a second, with another excerpt where that is needed. */
  async start(at, isLate, isPlayed) {
    if (this.isDirect) {
      this.show(`/media/${this.id}`, 0, this.info.duration_s);
      this.note.textContent = "";
    } else if (!(this.source && at >= this.offset && at < this.end - 0.05)) {
      this.note.textContent = words.preparing(this.info.why);
      const end = Math.min(this.info.duration_s, at + EXCERPT_S, Math.max(0, at - STEP_S) + MOST_S);
      const given = new URLSearchParams({ start: Math.max(0, at - STEP_S).toFixed(2), end: end.toFixed(2) });
      const made = await getJson(`/media/${this.id}/excerpt?${given}`);
      if (isLate()) return;
      this.show(made.url, made.start_s, made.end_s);
      this.note.textContent = words.excerpt(this.info.why, length(made.start_s), length(made.end_s));
    }
    this.video.currentTime = Math.max(0, at - this.offset);
    if (isPlayed) await this.video.play().catch(() => {}); // a browser that plays nothing by itself waits for the button
    this.tell();
  }

  show(source, offset, end) {
    Object.assign(this, { offset, end });
    if (this.source === source) return;
    this.source = source;
    this.video.src = source;
  }

  empty() {
    this.video.pause();
    this.source = this.id = null;
    this.video.removeAttribute("src");
    this.video.load();
    this.draw();
  }

  onError() {
    if (!this.source) return;
    if (this.isDirect) { // this browser plays less than most: an excerpt is made for it
      const [turn, at] = [this.turn, this.at];
      Object.assign(this, { isDirect: false, source: null });
      this.start(at, () => turn !== this.turn, true).catch((error) => (this.note.textContent = error.message));
    } else this.note.textContent = words.cannotPlay;
  }

  /** At the end of a file, go on with the next part of the moment. */
  goOn() {
    if (this.moment && this.isDirect && this.moment.data.parts[this.part + 1]?.video) this.playPart(this.part + 1);
  }

  playOrPause() {
    if (!this.source) return;
    if (this.video.paused) this.video.play().catch(() => {}); // `onError` says why it does not play
    else this.video.pause();
  }

  skip(by) {
    this.seek(this.at + by);
  }

  seek(at) {
    if (!this.source) return;
    const turn = this.turn;
    const within = Math.min(Math.max(0, at), this.info.duration_s);
    this.start(within, () => turn !== this.turn, !this.video.paused).catch((error) => (this.note.textContent = error.message));
  }

  async copyLink() {
    this.note.textContent = (await copyLink()) ? words.copied : `${words.copyByHand} ${location.href}`;
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen();
  }

  tell() {
    if (!this.source || !this.info) return;
    const told = words.place(length(this.at), length(this.info.duration_s));
    this.range.value = this.at;
    this.range.setAttribute("aria-valuetext", told);
    this.said.textContent = this.zero === null ? told : `${wallClock(this.zero + this.at)} · ${told}`;
  }

  tellPlaying() {
    this.toggle.textContent = this.video.paused ? words.play : words.pause;
    this.draw();
  }

  draw(second = this.video.currentTime) {
    const isDrawn = drawBox(this.canvas, this.video, this.source ? boxAt(this.boxes, second + (this.offset ?? 0)) : null);
    this.canvas.dataset.box = isDrawn ? "drawn" : "";
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isButton = event.target instanceof HTMLButtonElement;
    const act = {
      n: () => this.moment && this.calls.step(1), p: () => this.moment && this.calls.step(-1),
      ArrowLeft: () => this.skip(-STEP_S), ArrowRight: () => this.skip(STEP_S), f: () => this.fullScreen(),
      " ": isButton ? null : () => this.playOrPause(),
    };
    Object.assign(act, { j: act.n, ArrowDown: act.n, k: act.p, ArrowUp: act.p });
    if (!act[event.key]) return;
    event.preventDefault();
    act[event.key]();
  }

  onClose() {
    this.turn += 1;
    this.empty();
    this.calls.closed(this.moment);
    if (!this.dialog.open && document.activeElement === document.body) this.opener?.focus?.();
  }
}
