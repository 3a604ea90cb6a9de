// Talks to the server that this page came from: pictures to /invocations, LaTeX to /mathml, with a key where one is asked for.

const KEY = "formula-recognizer-key";
const TRIES = 4; // of what a busy server puts off
const WISHES = "?n_best=3&tokens=1"; // what an older server or a model's own handler doesn't know, it leaves out
let key = stored(); // in the page alone where the browser keeps no data of sites; it throws then

// picture: Blob -> the answer as an object. Throws an Error with the server's own words.
export async function recognize(picture) {
  const headers = { "Content-Type": picture.type || "application/octet-stream", Accept: "application/json" };
  const answer = await (await post("invocations" + WISHES, picture, headers)).json();
  if (typeof answer?.latex !== "string") throw new Error("The server's answer has no LaTeX in it.");
  return answer;
}

// LaTeX -> MathML, as text. Throws an Error with the server's own words.
export async function typeset(latex) {
  return (await post("mathml", latex, { "Content-Type": "text/plain; charset=utf-8" })).text();
}

async function post(path, body, headers) {
  let response = await send(path, body, headers);
  for (let tries = 1; response.status === 503 && tries < TRIES; tries++) {
    await pause(Number(response.headers.get("Retry-After")) || 1);
    response = await send(path, body, headers);
  }
  while (response.status === 401 && (await askForKey())) response = await send(path, body, headers);
  if (!response.ok) throw new Error(await message(response));
  return response;
}

async function send(path, body, headers) {
  if (key) headers = { ...headers, Authorization: "Bearer " + latin1(key) };
  try {
    return await fetch(path, { method: "POST", body, headers });
  } catch {
    throw new Error("The server can't be reached. Is it still running?");
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(given) {
  key = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // asked again when the page is loaded again
  }
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}

// A header holds bytes; the server reads them as UTF-8.
function latin1(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

async function message(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status} ${response.statusText}.`;
  }
}

// Resolves to whether a key was given.
function askForKey() {
  const dialog = document.getElementById("key-dialog");
  const field = document.getElementById("key");
  field.value = "";
  dialog.showModal();
  document.getElementById("key-refused").textContent = key ? "That key was refused." : ""; // said aloud, once it is shown
  return new Promise((resolve) => {
    document.getElementById("key-cancel").onclick = () => dialog.close("");
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close(field.value);
    };
    dialog.oncancel = () => (dialog.returnValue = "");
    dialog.onclose = () => {
      if (dialog.returnValue) keep(dialog.returnValue);
      resolve(Boolean(dialog.returnValue));
      dialog.returnValue = "";
    };
  });
}
