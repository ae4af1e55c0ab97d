// Calls of the service's REST interface.

/** Which of several cameras this page shows; null: the first. */
export const camera = new URLSearchParams(location.search).get("camera");

/** Where `path` under /api/v1/ is, of this page's camera. */
export function addressOf(path) {
  const address = new URL(`api/v1/${path}`, document.baseURI);
  if (camera) address.searchParams.set("camera", camera);
  return address;
}

/** What `path` under /api/v1/ answers, as JSON; an Error with the service's own sentence where it refuses. */
export async function call(path, { method = "GET", json } = /** @type {{method?: string, json?: unknown}} */ ({})) {
  /** @type {RequestInit & {headers?: any}} */
  const request = { method, cache: "no-store" };
  if (json !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(json);
  }
  const answer = await fetch(addressOf(path), request);
  const text = await answer.text();
  const content = answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : text;
  if (!answer.ok)
    throw new Error(typeof content?.detail === "string" ? content.detail : `${answer.status} ${answer.statusText}`);
  return content;
}
