/**
 * Requests to the server, whose failures are problems that a page can show.
 */

import { authorization } from "./access.js";
import { networkProblem, refusal, tooSlow } from "./problems.js";

/** Where the server's paths begin, whatever a proxy has put before them. */
const BASE = new URL("..", import.meta.url);
const DEADLINE_MS = 10_000;
const LONGEST_REASON = 300; // characters of a refusal that is plain text

/**
 * One of the server's paths as an address.
 * @param {string} path with a slash at its beginning
 */
export const addressOf = (path) => new URL(path.slice(1), BASE);

/**
 * Send one request, with a deadline besides the signal that the options may have.
 * @param {string} url whole, or one of the server's paths
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 * @throws {import("./problems.js").Problem} if there is no response in time, or it is a refusal
 */
export async function request(url, { signal, headers, ...options }) {
  // by hand: `AbortSignal.any` and `AbortSignal.timeout` are newer than many people's browsers
  const either = new AbortController();
  let isLate = false;
  setTimeout(() => {
    isLate = true;
    either.abort();
  }, DEADLINE_MS);
  if (signal?.aborted) either.abort();
  signal?.addEventListener("abort", () => either.abort(), { once: true });
  let response;
  try {
    response = await fetch(url.startsWith("/") ? addressOf(url) : url, {
      ...options,
      headers: { ...headers, ...authorization() },
      signal: either.signal,
    });
  } catch (error) {
    throw isLate ? tooSlow(error) : networkProblem(error);
  }
  if (response.ok) return response;
  const text = await response.text();
  const retryAfter = response.headers.get("Retry-After");
  const problem = refusal(response.status, reasonIn(text), retryAfter);
  problem.queued = queuedIn(text, retryAfter);
  throw problem;
}

/**
 * @param {string} url whole, or one of the server's paths
 * @param {{method?: string, body?: object, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the response's JSON, null if it has no body
 * @throws {import("./problems.js").Problem} if there is no response in time, or it is a refusal
 */
export async function requestJson(url, { method = "GET", body, signal } = {}) {
  const response = await request(url, {
    method,
    signal,
    headers: body && { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** @param {string} text a refusal's body: JSON with `error`, plain text, or an HTML page */
function reasonIn(text) {
  try {
    return String(JSON.parse(text).error ?? "");
  } catch {
    return text.startsWith("<") ? "" : text.slice(0, LONGEST_REASON);
  }
}

/**
 * @param {string} text a refusal's body
 * @param {string | null} retryAfter the header, in seconds
 * @returns {import("./problems.js").Queued | null} the place in the line that it gives, if any
 */
function queuedIn(text, retryAfter) {
  try {
    const { place, waiting, ticket, error } = JSON.parse(text);
    if (!(place >= 1) || !ticket) return null;
    const askAgain_ms = 1000 * Math.max(1, Number(retryAfter) || 1);
    return { place, waiting, ticket, askAgain_ms, reason: String(error) };
  } catch {
    return null;
  }
}
