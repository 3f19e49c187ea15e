// Handing over: what `wsra ground` writes, as downloads, and a link to the very view.

import { getFile, searchOf } from "./api.js";
import { button, byId, make } from "./dom.js";
import { words } from "./strings.js";

const KINDS = [
  ["report", "/api/report", {}], ["clips", "/api/clips", {}], ["m3u8", "/api/playlist", { kind: "m3u8" }],
  ["edl", "/api/playlist", { kind: "edl" }], ["csv", "/api/playlist", { kind: "csv" }], ["picture", "/api/picture", {}],
];

/** @param {() => {state: object, archive: object}} asked what is shown now */
export function addHandover(asked) {
  const said = make("p", { class: "small", role: "status" });
  const link = make("input", { class: "link-field", readonly: true, "aria-label": words.copyByHand, hidden: true });
  const buttons = KINDS.map(([name, address, more]) => {
    const made = button(words[name], async () => {
      const { state, archive } = asked();
      const given = searchOf(state, archive);
      for (const [key, value] of Object.entries(more)) given.set(key, value);
      made.disabled = true;
      said.textContent = words.making(words[name]);
      try {
        const file = await getFile(`${address}?${given}`);
        save(file);
        said.textContent = words.made(words[name], file.name);
      } catch (error) {
        said.textContent = error.message;
      }
      made.disabled = false;
      if (document.activeElement === document.body) made.focus();
    }, { "data-kind": name });
    return made;
  });
  const copy = button(words.copyLink, async () => {
    link.value = location.href;
    link.hidden = await copyLink();
    said.textContent = link.hidden ? words.copied : words.copyByHand;
    if (!link.hidden) link.select();
  });
  byId("handover").append(make("h2", { class: "inline", text: words.handoverTitle }), ...buttons, copy, said, link);
}

/** Copy the link to the very view; false where the browser does not let a page copy: away from this machine without TLS. */
export async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    return true;
  } catch {
    return false;
  }
}

function save({ name, content }) {
  const address = URL.createObjectURL(content);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
