// Keys that work on every page.

import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { PAGES } from "./navigation";

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable ||
    /^(input|textarea|select)$/i.test(target.tagName) ||
    target.closest(".cm-editor") !== null
  );
}

/** Puts the cursor into the page's main filter: the element marked with `data-page-filter`. */
export function focusPageFilter(): boolean {
  const marked = document.querySelector<HTMLElement>("[data-page-filter]");
  const field = marked?.matches("input, textarea, [contenteditable]")
    ? marked
    : marked?.querySelector<HTMLElement>(".cm-content, input, textarea");
  if (!field) return false;
  field.focus();
  if (field instanceof HTMLInputElement) field.select();
  return true;
}

const SEQUENCE_MS = 900;

export function useShortcuts({ onHelp, onRefresh }: { onHelp: () => void; onRefresh: () => void }) {
  const navigate = useNavigate();
  useEffect(() => {
    let armedUntil = 0;
    const listen = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target)) {
        if (event.key === "Escape" && event.target instanceof HTMLElement) event.target.blur();
        return;
      }
      if (armedUntil > event.timeStamp) {
        armedUntil = 0;
        const page = PAGES.find((entry) => entry.key === event.key);
        if (page) {
          event.preventDefault();
          void navigate({ to: page.to });
          return;
        }
      }
      switch (event.key) {
        case "/":
          if (focusPageFilter()) event.preventDefault();
          break;
        case "g":
          armedUntil = event.timeStamp + SEQUENCE_MS;
          break;
        case "r":
          onRefresh();
          break;
        case "?":
          onHelp();
          break;
        case "[":
          window.history.back();
          break;
        case "]":
          window.history.forward();
          break;
      }
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, [navigate, onHelp, onRefresh]);
}

export const SHORTCUTS: { keys: string[]; what: string }[] = [
  { keys: ["Ctrl", "K"], what: "Find pages, services, metrics, autoscalers" },
  { keys: ["/"], what: "Filter or query of this page" },
  { keys: ["g", "o"], what: "Overview" },
  { keys: ["g", "m"], what: "Metrics" },
  { keys: ["g", "l"], what: "Logs" },
  { keys: ["g", "t"], what: "Traces" },
  { keys: ["g", "a"], what: "Autoscaling" },
  { keys: ["g", "n"], what: "Nodes" },
  { keys: ["r"], what: "Refresh now" },
  { keys: ["[", "]"], what: "Back and forward" },
  { keys: ["Ctrl", "Enter"], what: "Run the query in an editor" },
  { keys: ["↑", "↓"], what: "Move through spans; ← → fold and unfold" },
  { keys: ["Esc"], what: "Leave a field, close a panel" },
  { keys: ["?"], what: "This list" },
];
