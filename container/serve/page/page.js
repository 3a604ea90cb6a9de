// Ties the page together: every way in ends in read(picture), one way out in showAnswer.

import { hideAnswer, showAnswer, showStatus } from "./answer.js";
import { remember } from "./history.js";
import { Pad } from "./pad.js";
import { recognize } from "./server.js";

const at = (id) => document.getElementById(id);
const pad = new Pad(at("pad"));
let latest = 0; // number of the newest picture: the answer to an older one that arrives later is dropped

async function read(picture) {
  const number = ++latest;
  const url = URL.createObjectURL(picture);
  preview(url);
  hideAnswer();
  showStatus("Reading …");
  try {
    const answer = await recognize(picture);
    if (number !== latest) return;
    if (!answer.blank) remember(answer, url, () => revisit(answer, url));
    await showAnswer(answer);
  } catch (error) {
    if (number === latest) showStatus(error.message, true);
  }
}

function revisit(answer, url) {
  latest++;
  choose(false); // the sheet may show another formula
  preview(url);
  showAnswer(answer);
}

function preview(url) {
  showPreview(true);
  at("preview").onerror = () => showPreview(false); // of a kind that the server may read, but not the browser
  at("preview").src = url;
}

function showPreview(isShown) {
  at("preview").hidden = !isShown;
  at("invitation").hidden = isShown;
}

// Reads the picture among files that were pasted, dropped or chosen, if there is one.
function take(files) {
  const picture = [...(files ?? [])].find((file) => file.type.startsWith("image/"));
  if (picture) {
    choose(false);
    read(picture);
  } else {
    showStatus("There is no picture in what you gave: take a PNG, a JPEG or another picture.", true);
  }
}

function choose(isDrawing) {
  at("picture-panel").hidden = isDrawing;
  at("drawing-panel").hidden = !isDrawing;
  at("to-picture").setAttribute("aria-pressed", !isDrawing);
  at("to-drawing").setAttribute("aria-pressed", isDrawing);
}

async function readDrawing() {
  if (pad.isBlank) showStatus("The sheet is still blank. Write a formula on it first.", true);
  else read(await pad.picture());
}

at("to-picture").addEventListener("click", () => choose(false));
at("to-drawing").addEventListener("click", () => choose(true));
at("read-drawing").addEventListener("click", readDrawing);
at("undo").addEventListener("click", () => pad.undo());
at("clear").addEventListener("click", () => pad.clear());

for (const input of [at("file"), at("photo")]) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file?.type) take(input.files);
    else if (file) read(file); // of a kind that the browser doesn't know, but the server may
    input.value = ""; // the same file may be chosen again
  });
}

// Whether text goes into a field, which a word processor's clipboard has beside a picture of it.
function isText(event, transfer) {
  return event.target.matches("textarea, input") && (transfer.types.includes("text/plain") || !transfer.types.includes("Files"));
}

document.addEventListener("paste", (event) => {
  if (isText(event, event.clipboardData)) return;
  event.preventDefault();
  take(event.clipboardData?.files);
});

// Anywhere on the page, so that a near miss doesn't make the browser open the picture instead.
document.addEventListener("dragover", (event) => {
  if (isText(event, event.dataTransfer)) return;
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  at("drop").classList.remove("over");
  if (isText(event, event.dataTransfer)) return;
  event.preventDefault();
  take(event.dataTransfer?.files);
});
