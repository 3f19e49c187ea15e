// Footage: the opened folders, and videos that are prepared in the background.

import { postJson } from "./api.js";
import { button, byId, make, setChildren, show } from "./dom.js";
import { words } from "./strings.js";
import { length } from "./times.js";

const SHOWN = 20; // waiting videos and failures, of maybe thousands

export class Jobs {
  /** @param {object} calls `changed()`: other videos are ready now */
  constructor(calls) {
    this.calls = calls;
    this.said = make("p", { class: "small", role: "status" });
    this.folders = make("ul", { class: "folders plain" });
    this.now = make("div", { class: "job", hidden: true });
    this.name = make("p", { class: "name" });
    this.progress = make("progress", {});
    this.place = make("span", { class: "small" });
    this.stopOne = button(words.cancel, () => this.cancel({ id: this.runningId }));
    this.now.append(this.name, make("div", { class: "row" }, this.progress, this.place, this.stopOne));
    this.counts = make("p", { class: "small" });
    this.waiting = make("ul", { class: "plain small" });
    this.stopAll = button(words.cancelAll, () => this.cancel({}), { hidden: true });
    this.failures = make("div", { class: "problem small", hidden: true });
    this.all = button(words.prepareAll, () => this.prepareAll(), { class: "main" });
    this.ready = make("p", { class: "small", text: words.allReady });
    byId("feeding-body").append(
      make("p", { class: "soft small", text: words.feedingHint }), make("p", { class: "soft small", text: words.dropHint }),
      this.folders, this.all, this.ready, this.said, this.now, this.counts, this.waiting, this.stopAll, this.failures,
    );
    document.addEventListener("visibilitychange", () => this.listen()); // a browser opens few connections to one server: hidden tabs need none
    this.listen();
  }

  listen() {
    this.stream?.close();
    this.stream = null;
    if (document.hidden) return;
    this.stream = new EventSource("/api/jobs");
    this.stream.addEventListener("jobs", (event) => this.draw(JSON.parse(event.data)));
  }

  /** Show the folders of the archive. */
  setFolders(folders) {
    this.known = folders;
    const missing = folders.reduce((most, folder) => Math.max(most, folder.missing), 0);
    const ready = folders.reduce((most, folder) => Math.max(most, folder.ready), 0);
    byId("feeding-short").textContent = words.feedingShort(ready, missing);
    show(this.all, missing > 0);
    show(this.ready, missing === 0 && ready > 0);
    setChildren(this.folders, folders.length ? folders.map((folder) => this.row(folder)) : [make("li", { text: words.noFolders })]);
  }

  row(folder) {
    const prepare = button(words.prepare, () => this.prepare([folder]), { "aria-label": words.prepareFolder(folder.name) });
    prepare.hidden = folder.missing === 0;
    return make("li", {}, make("span", { class: "name", text: folder.name }), make("span", { class: "soft small", text: words.folderCounts(folder.ready, folder.missing) }), prepare);
  }

  async prepareAll() {
    await this.prepare(this.known.filter((folder) => folder.missing > 0));
  }

  /** Let the videos of folders be prepared; says and returns how many were added, or null where that failed. */
  async prepare(folders) {
    try {
      let added = 0;
      for (const folder of folders) added += (await postJson("/api/jobs", { folder: folder.id })).added;
      this.said.textContent = words.added(added);
      return added;
    } catch (error) {
      this.said.textContent = error.message;
      return null;
    }
  }

  async cancel(which) {
    try {
      this.said.textContent = words.cancelled((await postJson("/api/jobs/cancel", which)).cancelled);
    } catch (error) {
      this.said.textContent = error.message;
    }
  }

  draw(jobs) {
    const { running, waiting, failed } = jobs;
    show(this.now, running !== null);
    if (running) {
      this.runningId = running.id;
      this.name.textContent = words.running(running.name);
      this.progress.setAttribute("aria-label", words.jobProgress(running.name));
      this.stopOne.setAttribute("aria-label", words.cancelOne(running.name));
      if (running.total_s) Object.assign(this.progress, { max: running.total_s, value: Math.min(running.done_s ?? 0, running.total_s) });
      else this.progress.removeAttribute("value");
      this.place.textContent = words.runningOf(length(running.done_s ?? 0), running.total_s && length(running.total_s));
    }
    const told = [];
    if (waiting.length) told.push(words.waiting(jobs.waiting_total));
    if (jobs.finished) told.push(words.finishedJobs(jobs.finished));
    if (jobs.cancelled) told.push(words.cancelled(jobs.cancelled));
    this.counts.textContent = told.map((text) => text.replace(/\.$/, "")).join(" · ");
    setChildren(this.waiting, listed(waiting, jobs.waiting_total, (job) => make("li", {}, make("span", { class: "name", text: job.name }), button(words.cancel, () => this.cancel({ id: job.id }), { "aria-label": words.cancelOne(job.name) }))));
    show(this.stopAll, running !== null || waiting.length > 0);
    show(this.failures, failed.length > 0);
    setChildren(this.failures, [
      make("p", { text: words.failedJobs(jobs.failed_total) }),
      make("ul", {}, ...listed(failed, jobs.failed_total, (job) => make("li", {}, make("b", { text: job.name }), ` ${job.reason}`))),
    ]);
    const seen = `${jobs.finished} ${jobs.failed_total} ${jobs.cancelled} ${running?.id}`;
    if (this.seen !== undefined && this.seen !== seen) this.calls.changed();
    this.seen = seen;
  }
}

function listed(jobs, total, item) {
  const shown = jobs.slice(0, SHOWN).map(item);
  if (total > shown.length) shown.push(make("li", { text: words.moreOf(total - shown.length) }));
  return shown;
}
