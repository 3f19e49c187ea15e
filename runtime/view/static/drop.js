// A folder dropped on the page: if it is an opened one it is prepared, else the page says what to do. Nothing of it is read or uploaded.

import { byId } from "./dom.js";
import { words } from "./strings.js";

const VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|ts|m2ts|mts|mpg|mpeg|wmv|flv|3gp|h264|264|hevc|h265|265|dav)$/i;

/** Open folders that a dropped one can be: of its name and, where several have that, with as many videos. */
export function foldersLike(folders, name, videos) {
  const named = folders.filter((folder) => folder.name.split(/[\\/]/).filter(Boolean).at(-1) === name);
  if (named.length < 2) return named;
  const alike = named.filter((folder) => folder.ready + folder.missing === videos);
  return alike.length ? alike : named;
}

/**
 * Listen for folders.
 * @param {() => object[]} folders the opened ones
 * @param {(folder: object) => Promise<number|null>} prepare
 * @param {(text: string) => void} say
 */
export function listenForDrops(folders, prepare, say) {
  let depth = 0;
  const isFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const cover = (isShown) => (byId("drop").hidden = !isShown);
  document.addEventListener("dragenter", (event) => {
    if (!isFiles(event)) return;
    depth += 1;
    cover(true);
  });
  document.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    cover(depth > 0);
  });
  document.addEventListener("dragover", (event) => isFiles(event) && event.preventDefault());
  document.addEventListener("drop", async (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    depth = 0;
    cover(false);
    byId("feeding").open = true;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const dropped = entries.filter((entry) => entry.isDirectory);
    if (!dropped.length) say(words.dropFiles);
    for (const folder of dropped) say(await take(folder, folders(), prepare));
  });
}

async function take(dropped, folders, prepare) {
  const found = foldersLike(folders, dropped.name, await videosIn(dropped));
  if (!found.length) return words.dropUnknown(dropped.name);
  if (found.length > 1) return words.dropSeveral(dropped.name);
  if (!found[0].missing) return words.dropReady(dropped.name);
  const added = await prepare(found[0]);
  return added === null ? words.unreachable : words.dropPrepared(dropped.name, added);
}

/** How many videos a folder and those below it hold, by their names. */
async function videosIn(folder) {
  const reader = folder.createReader();
  let count = 0;
  for (;;) {
    const entries = await new Promise((done) => reader.readEntries(done, () => done([])));
    if (!entries.length) return count;
    for (const entry of entries) count += entry.isDirectory ? await videosIn(entry) : Number(VIDEO.test(entry.name));
  }
}
