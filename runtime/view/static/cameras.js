// The list of cameras: searchable, with all and none; of hundreds, too.

import { button, make, show } from "./dom.js";
import { words } from "./strings.js";

export class CameraList {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.items = [];
    this.count = make("span", { class: "soft small" });
    this.find = make("input", { type: "search", placeholder: words.findCamera, "aria-label": words.findCamera, on: { input: () => this.narrow() } });
    this.list = make("ul", { class: "cameras plain", tabindex: 0, "aria-label": words.cameras });
    this.none = make("p", { class: "soft small", text: words.camerasNotMatching, role: "status", hidden: true });
    this.element = make(
      "fieldset", {},
      make("legend", {}, words.cameras, " ", this.count),
      make("div", { class: "row" }, this.find, button(words.allCameras, () => this.setAll(true)), button(words.noCameras, () => this.setAll(false))),
      this.list, this.none,
    );
  }

  /** Show these cameras; `chosen` are ids, or null for all. */
  write(cameras, chosen) {
    const wanted = chosen && new Set(chosen);
    this.items = [...cameras].sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true })).map((camera) => {
      const box = make("input", { type: "checkbox", value: camera.id, on: { change: () => this.tell() } });
      box.checked = !wanted || wanted.has(camera.id);
      const hours = make("span", { class: "soft small", text: words.hours(camera.hours) });
      return { camera, box, element: make("li", {}, make("label", { class: "check" }, box, make("span", { class: "name", text: camera.name }), hours)) };
    });
    this.list.replaceChildren(...this.items.map((item) => item.element));
    this.element.hidden = cameras.length === 0;
    this.narrow();
    this.say();
  }

  /** The ids that are chosen; null for all. */
  read() {
    const chosen = this.items.filter((item) => item.box.checked);
    return chosen.length === this.items.length ? null : chosen.map((item) => item.camera.id);
  }

  /** Choose all or none of those that the search field leaves. */
  setAll(isChosen) {
    for (const item of this.items) if (!item.element.hidden) item.box.checked = isChosen;
    this.tell();
  }

  narrow() {
    const wanted = this.find.value.trim().toLocaleLowerCase();
    for (const item of this.items) item.element.hidden = !item.camera.name.toLocaleLowerCase().includes(wanted);
    show(this.none, this.items.length > 0 && this.items.every((item) => item.element.hidden));
  }

  tell() {
    this.say();
    this.changed();
  }

  say() {
    this.count.textContent = words.camerasChosen(this.items.filter((item) => item.box.checked).length, this.items.length);
  }
}
