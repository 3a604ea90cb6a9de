// The last few answers of this tab, newest first; gone when the page is closed or loaded again.

const KEPT = 6;

const section = document.getElementById("history");
const list = section.querySelector("ul");

// url: of the picture, which is released with its entry. show: called when the entry is chosen.
export function remember(answer, url, show) {
  const [item, button, image, code] = ["li", "button", "img", "code"].map((tag) => document.createElement(tag));
  button.type = "button";
  button.onclick = show;
  image.src = url;
  image.alt = "";
  code.textContent = answer.latex;
  button.append(image, code);
  item.append(button);
  list.prepend(item);
  while (list.children.length > KEPT) {
    URL.revokeObjectURL(list.lastChild.querySelector("img").src);
    list.lastChild.remove();
  }
  section.hidden = false;
}
