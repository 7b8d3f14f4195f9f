// What may come next in a LogQL query, judged from the text before the cursor. A scanner and not the grammar, because
// a query that is being typed is a broken query.

export type LogqlContext =
  | { kind: "function" }
  | { kind: "label" }
  | { kind: "value"; label: string; typed: string }
  | { kind: "pipeline" }
  | { kind: "none" };

export function logqlContext(before: string): LogqlContext {
  let braces = false;
  let quoteChar = "";
  let quoteStart = -1;
  let afterSelector = false;
  for (let index = 0; index < before.length; index++) {
    const char = before[index] as string;
    if (quoteChar) {
      if (char === "\\" && quoteChar === '"') index++;
      else if (char === quoteChar) quoteChar = "";
      continue;
    }
    if (char === '"' || char === "`") {
      quoteChar = char;
      quoteStart = index;
    } else if (char === "{") {
      braces = true;
    } else if (char === "}") {
      braces = false;
      afterSelector = true;
    } else if (char === "[" || char === ")") {
      afterSelector = false;
    }
  }
  if (braces) {
    if (quoteChar) {
      const label = /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*$/.exec(before.slice(0, quoteStart))?.[1];
      return label ? { kind: "value", label, typed: before.slice(quoteStart + 1) } : { kind: "none" };
    }
    return /[{,]\s*\w*$/.test(before) ? { kind: "label" } : { kind: "none" };
  }
  if (quoteChar) return { kind: "none" };
  if (afterSelector) return /\|\s*\w*$/.test(before) ? { kind: "pipeline" } : { kind: "none" };
  return /(^|[\s(,])\w*$/.test(before) ? { kind: "function" } : { kind: "none" };
}
