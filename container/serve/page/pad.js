// A sheet to write on with a pen, a finger or the mouse. What is sent is dark ink on white, whatever the screen shows.

const PEN = 3.5; // CSS pixels
const MARGIN = 24; // CSS pixels of paper around what was written, in the picture that is sent
const SENT_SCALE = 2; // pixels of that picture for each CSS pixel

export class Pad {
  #strokes = []; // each a list of [x, y] in CSS pixels of the sheet as it was at first
  #scale = 1; // below 1 since the sheet became too small for what is on it: a phone was turned
  #drawn = new Map(); // by pointer, the stroke that it is drawing: a palm may lie on the sheet beside the pen
  #canvas;

  constructor(canvas) {
    this.#canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#continue(event));
    canvas.addEventListener("pointerup", (event) => this.#drawn.delete(event.pointerId));
    canvas.addEventListener("pointercancel", (event) => this.#takeBack(event));
    new ResizeObserver(() => this.#fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#show());
  }

  get isBlank() {
    return this.#strokes.length === 0;
  }

  undo() {
    this.#strokes.pop();
    this.#show();
  }

  clear() {
    this.#strokes = [];
    this.#show();
  }

  // What was written, cropped, as a PNG Blob.
  picture() {
    const points = this.#strokes.flat();
    const [left, right] = range(points.map(([x]) => x));
    const [top, bottom] = range(points.map(([, y]) => y));
    const sheet = document.createElement("canvas");
    sheet.width = (right - left) * SENT_SCALE;
    sheet.height = (bottom - top) * SENT_SCALE;
    const context = sheet.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.scale(SENT_SCALE, SENT_SCALE);
    context.translate(-left, -top);
    this.#draw(context, "#000");
    return new Promise((resolve) => sheet.toBlob(resolve, "image/png"));
  }

  #begin(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    const stroke = [this.#point(event)];
    this.#strokes.push(stroke);
    this.#drawn.set(event.pointerId, stroke);
    this.#show();
  }

  #continue(event) {
    const stroke = this.#drawn.get(event.pointerId);
    if (!stroke) return;
    const between = event.getCoalescedEvents?.() ?? [];
    stroke.push(...(between.length ? between : [event]).map((one) => this.#point(one)));
    this.#show();
  }

  // The system found out that it was none, but a palm or a gesture.
  #takeBack(event) {
    this.#strokes = this.#strokes.filter((stroke) => stroke !== this.#drawn.get(event.pointerId));
    this.#drawn.delete(event.pointerId);
    this.#show();
  }

  // On the sheet, also where the pen has left it: nothing is sent that isn't seen.
  #point(event) {
    const { clientLeft, clientTop, clientWidth, clientHeight } = this.#canvas;
    const box = this.#canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - clientLeft, event.clientY - box.top - clientTop];
    return [clamp(x, clientWidth) / this.#scale, clamp(y, clientHeight) / this.#scale];
  }

  // Shows all that was written on a sheet of another size.
  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth) return; // not on the screen
    const ratios = this.#strokes.flat().flatMap(([x, y]) => [clientWidth / x, clientHeight / y]);
    this.#scale = ratios.reduce((least, ratio) => Math.min(least, ratio), 1);
    this.#show();
  }

  #show() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth) return; // not on the screen
    if (this.isBlank) this.#scale = 1;
    const scale = devicePixelRatio;
    this.#canvas.width = clientWidth * scale;
    this.#canvas.height = clientHeight * scale;
    const context = this.#canvas.getContext("2d");
    context.scale(scale * this.#scale, scale * this.#scale);
    this.#draw(context, getComputedStyle(this.#canvas).color);
  }

  #draw(context, ink) {
    context.strokeStyle = ink;
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.#strokes) {
      context.beginPath();
      context.moveTo(...stroke[0]);
      // Curves from middle to middle, bent towards the points: smooth, and as long as what was written.
      for (let i = 1; i < stroke.length - 1; i++) {
        context.quadraticCurveTo(...stroke[i], ...middle(stroke[i], stroke[i + 1]));
      }
      context.lineTo(...stroke.at(-1)); // of a dot, too
      context.stroke();
    }
  }
}

function clamp(value, most) {
  return Math.min(Math.max(value, 0), most);
}

function middle([x1, y1], [x2, y2]) {
  return [(x1 + x2) / 2, (y1 + y2) / 2];
}

function range(values) {
  const ends = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  return [ends[0] - MARGIN, ends[1] + MARGIN];
}
