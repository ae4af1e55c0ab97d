// Calls of the service's REST interface.

/** What `path` under /api/v1/ answers, as JSON; an Error with the service's own sentence where it refuses. */
export async function call(path, { method = "GET", json } = /** @type {{method?: string, json?: unknown}} */ ({})) {
  /** @type {RequestInit & {headers?: any}} */
  const request = { method, cache: "no-store" };
  if (json !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(json);
  }
  const answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), request);
  const text = await answer.text();
  const content = answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : text;
  if (!answer.ok)
    throw new Error(typeof content?.detail === "string" ? content.detail : `${answer.status} ${answer.statusText}`);
  return content;
}
