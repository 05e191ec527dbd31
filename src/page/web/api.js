// The JSON of /api/.

export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  let response;
  try {
    response = await fetch(`/api/${path}?${query}`, {signal, cache: "no-store", credentials: "omit"});
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Error("the node does not answer", {cause: problem});
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `the node answers ${response.status}`);
  return body;
}

// Where a view is, as #/ports?network=blue.
export function place(view, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `#/${view}${text ? `?${text}` : ""}`;
}
