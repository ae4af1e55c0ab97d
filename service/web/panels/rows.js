// Small lists of a name and its value.

/** One row of a `dl.rows`; `tone` "warn" or "bad" colours it. */
export function row(name, value, tone = "", title = "") {
  const line = document.createElement("div");
  const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = name;
  detail.textContent = value;
  if (tone) line.className = tone;
  line.title = title || `${name}: ${value}`;
  line.append(term, detail);
  return line;
}
