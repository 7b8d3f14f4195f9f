// One way to ask the query service, and one kind of error when it does not answer as hoped.

import type { z } from "zod";

/** What went wrong, in the server's own words where it had any. */
export class ApiError extends Error {
  /** HTTP status; 0 when there was no answer at all. */
  readonly status: number;
  /** Prometheus' error type ("bad_data", "timeout", …) where given. */
  readonly kind: string;

  constructor(message: string, status: number, kind = "") {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.kind = kind;
  }

  /** The question was wrong, so asking again cannot help. */
  get permanent(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

export type Params = Record<string, string | number | boolean | string[] | undefined>;

export function encodeParams(params: Params): URLSearchParams {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined) continue;
    if (Array.isArray(value)) for (const item of value) search.append(name, item);
    else search.append(name, String(value));
  }
  return search;
}

export interface RequestOptions {
  params?: Params;
  /** Sent as a form when the query would not fit into a URL comfortably. */
  form?: boolean;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

// Long queries go into a form: proxies cut URLs at 8 KB or so.
const LONG_QUERY = 4000;

export async function getJSON<T>(path: string, schema: z.ZodType<T>, options: RequestOptions = {}): Promise<T> {
  const search = encodeParams(options.params ?? {}).toString();
  const post = options.form === true && search.length > LONG_QUERY;
  let response: Response;
  try {
    response = await fetch(post || search === "" ? path : `${path}?${search}`, {
      method: post ? "POST" : "GET",
      body: post ? search : undefined,
      headers: {
        Accept: "application/json",
        ...(post ? { "Content-Type": "application/x-www-form-urlencoded" } : {}),
        ...options.headers,
      },
      signal: options.signal,
    });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError("The query service does not answer.", 0);
  }
  const text = await response.text();
  if (!response.ok) throw readError(text, response.status);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new ApiError(`${path} answered with something that is not JSON.`, response.status);
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new ApiError(
      `${path} answered in an unexpected form (${issue?.path.join(".")}: ${issue?.message}).`,
      response.status,
    );
  }
  return parsed.data;
}

/** Reads the error shapes of Prometheus, Jaeger and echo, and Loki's plain text. */
export function readError(text: string, status: number): ApiError {
  try {
    const body = JSON.parse(text) as Record<string, unknown>;
    if (typeof body.error === "string") return new ApiError(body.error, status, String(body.errorType ?? ""));
    if (typeof body.message === "string") return new ApiError(body.message, status);
    if (Array.isArray(body.errors)) {
      const first = body.errors[0] as { msg?: unknown; message?: unknown } | undefined;
      const message = first?.msg ?? first?.message;
      if (typeof message === "string") return new ApiError(message, status);
    }
  } catch {
    // Not JSON: the text itself is the message.
  }
  const plain = text.trim();
  const readable = plain !== "" && plain.length < 2000 && !plain.startsWith("<");
  return new ApiError(readable ? plain : `The query service answered with status ${status}.`, status);
}
