// What MathML has and browsers have not: MathML Core knows neither frames and strikes nor the rules of a table.

const SIDES = { columnlines: "ruled-right", rowlines: "ruled-below" };

// Marks a formula's elements for style.css. In the document only: what is copied keeps MathML's own words.
export function dress(math) {
  for (const enclosed of math.querySelectorAll("menclose")) {
    const row = document.createElementNS(math.namespaceURI, "mrow");
    row.classList.add("enclosed", ...(enclosed.getAttribute("notation") ?? "").split(" ").filter(Boolean));
    row.append(...enclosed.childNodes);
    enclosed.replaceWith(row);
  }
  for (const table of math.querySelectorAll("mtable")) {
    for (const row of table.children) [...row.children].forEach((cell, column) => rule(cell, table, "columnlines", column));
    [...table.children].forEach((row, number) => rule(row, table, "rowlines", number));
    for (const lines of Object.keys(SIDES)) table.removeAttribute(lines); // a browser that knows them would draw them too
  }
}

// A table names the lines between its columns, or rows, in order; those after them have none.
function rule(element, table, lines, number) {
  const kind = (table.getAttribute(lines) ?? "").split(" ")[number];
  const isBetween = element.nextElementSibling !== null;
  if (isBetween && kind && kind !== "none") element.classList.add(SIDES[lines]);
}
