// Shows an answer: the formula, how sure the model is of it, its LaTeX to change and to copy, and what else it could be.

import { dress } from "./core.js";
import { typeset } from "./server.js";

const SHOWN = 2000; // milliseconds that a button says what it has done
const RETYPE = 250; // milliseconds without a key pressed, before changed LaTeX is drawn again
const NOTES = {
  truncated: "The model found no end, so the formula may be cut off.",
  repaired: "A bracket lacked its partner, which was mended.",
  turned: "The picture lay on its side and was turned.",
};

const at = (id) => document.getElementById(id);
let mathml = ""; // of the LaTeX shown; empty where none could be drawn
let latest = 0; // number of the newest drawing: an older one that arrives later is dropped
let timer;

export function showStatus(text, isError = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", isError);
  if (isError) at("status").scrollIntoView({ block: "nearest" }); // on a phone it is below the screen
}

export function hideAnswer() {
  at("answer").hidden = true;
}

// answer: the object that /invocations gives; `n_best` and confidences in `tokens` may be missing.
export async function showAnswer(answer) {
  if (answer.blank) {
    hideAnswer();
    showStatus("There is nothing written in this picture.");
    return;
  }
  at("answer").hidden = false;
  at("answer").parentElement.scrollIntoView({ block: "nearest" }); // on a phone it is below the screen
  at("rendering").replaceChildren(); // a slow server leaves time to take an earlier answer's for this one's
  showAlternatives(answer);
  choose(answer);
  const notes = Object.keys(NOTES).filter((flag) => answer[flag]).map((flag) => NOTES[flag]);
  showStatus(["Done.", ...notes].join(" "));
  await render();
}

function choose({ latex, confidence, tokens }) {
  at("latex").value = latex;
  showConfidence(confidence);
  showTokens(tokens);
  markShown();
}

async function render() {
  clearTimeout(timer);
  at("copy-mathml").disabled = true; // until there is that of this LaTeX
  const number = ++latest;
  let shown;
  let text = "";
  try {
    text = await typeset(at("latex").value);
    // Parsed as XML, so that no markup of a formula is ever taken for HTML.
    shown = document.importNode(new DOMParser().parseFromString(text, "application/xml").documentElement, true);
    dress(shown);
  } catch (error) {
    shown = document.createElement("p");
    shown.textContent = error.message;
  }
  if (number !== latest) return;
  mathml = text;
  at("rendering").replaceChildren(shown);
  at("copy-mathml").disabled = !mathml;
}

function showConfidence(confidence) {
  at("sureness").hidden = typeof confidence !== "number";
  at("confidence").value = confidence ?? 0;
  at("percent").textContent = percent(confidence ?? 0);
}

function showTokens(tokens) {
  const known = (tokens ?? []).filter((one) => typeof one.confidence === "number");
  at("tokens").hidden = known.length === 0;
  at("tokens").replaceChildren(
    ...known.map(({ token, confidence }) => {
      const item = document.createElement("li");
      item.textContent = token;
      item.className = confidence >= 0.9 ? "sure" : confidence >= 0.6 ? "unsure" : "doubtful";
      item.title = `${percent(confidence)}, as the network has it, uncalibrated`;
      return item;
    }),
  );
}

function showAlternatives(answer) {
  const others = (answer.n_best ?? []).filter((other) => other.latex && other.latex !== answer.latex);
  at("alternatives").hidden = others.length === 0;
  at("alternatives").querySelector("ul").replaceChildren(...[answer, ...others].map(alternative));
}

function alternative(choice) {
  const [item, button, code, share] = ["li", "button", "code", "span"].map((tag) => document.createElement(tag));
  button.type = "button";
  code.textContent = choice.latex;
  share.textContent = typeof choice.confidence === "number" ? percent(choice.confidence) : "";
  button.append(code, share);
  button.onclick = () => {
    choose(choice);
    render();
  };
  item.append(button);
  return item;
}

// Which of them the field holds; none, once it is changed by hand.
function markShown() {
  for (const button of at("alternatives").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", button.querySelector("code").textContent === at("latex").value);
  }
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

// button: says it too, where the status is off the screen of a phone.
async function copy(text, name, button) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = copySelected(text); // a page that came over plain HTTP from another machine has no clipboard of its own
  }
  if (copied) {
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = `Copy ${name}`), SHOWN);
  }
  showStatus(copied ? `${name} copied.` : "This browser doesn't let the page copy: select the LaTeX and copy it.", !copied);
}

function copySelected(text) {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}

at("latex").addEventListener("input", () => {
  clearTimeout(timer);
  at("copy-mathml").disabled = true;
  markShown();
  timer = setTimeout(render, RETYPE);
});
at("copy-latex").addEventListener("click", (event) => copy(at("latex").value, "LaTeX", event.target));
at("copy-mathml").addEventListener("click", (event) => copy(mathml, "MathML", event.target));
