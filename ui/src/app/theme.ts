import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

// Ai-iro, the indigo of Japanese dyers, for what can be acted on; shu-iro, the vermilion of gates, for the mark alone.
const indigo: MantineColorsTuple = [
  "#eef3ff",
  "#dbe5fb",
  "#b4c9f6",
  "#8babf2",
  "#6a92ef",
  "#5580ee",
  "#3f6ce0",
  "#3059c4",
  "#284daa",
  "#1d3f91",
];

const slate: MantineColorsTuple = [
  "#d8dee8",
  "#b9c2d0",
  "#a3aebf",
  "#8691a3",
  "#2c3542",
  "#252d38",
  "#1b222c",
  "#12171f",
  "#0e131a",
  "#0b0f15",
];

export const theme = createTheme({
  primaryColor: "indigo",
  primaryShade: { light: 7, dark: 6 },
  colors: { indigo, dark: slate },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "'JetBrains Mono Variable', ui-monospace, monospace",
  fontSizes: { xs: "0.75rem", sm: "0.8125rem", md: "0.875rem", lg: "1rem", xl: "1.125rem" },
  headings: {
    fontWeight: "620",
    sizes: { h1: { fontSize: "1.25rem" }, h2: { fontSize: "0.9375rem" }, h3: { fontSize: "0.875rem" } },
  },
  defaultRadius: "sm",
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    Tooltip: { defaultProps: { openDelay: 300, withArrow: true } },
    TextInput: { defaultProps: { size: "sm" } },
    Select: { defaultProps: { size: "sm", checkIconPosition: "right" } },
    Button: { defaultProps: { size: "sm" } },
    ActionIcon: { defaultProps: { variant: "subtle", color: "gray" } },
  },
});

/** Surface colours of our own, and a dimmed text that keeps 4.5:1 on every surface of both schemes. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#f5f6f8",
    "--mantine-color-text": "#1a212b",
    "--mantine-color-dimmed": "#566070",
    "--mantine-color-placeholder": "#667080",
    "--mantine-color-default-border": "#d5dae2",
    "--surface": "#ffffff",
    "--surface-sunken": "#f0f2f5",
    "--surface-hover": "#eef2fa",
    "--surface-selected": "#e2eafc",
    "--border": "#e0e4ea",
    "--text-good": "#0b7556",
    "--text-bad": "#c02626",
    "--text-warn": "#8a5a00",
    "--text-urgent": "#b03a08",
    "--text-link": "#2a56c6",
  },
  dark: {
    "--mantine-color-body": "#0b0f15",
    "--mantine-color-text": "#d8dee8",
    "--mantine-color-dimmed": "#98a3b4",
    "--mantine-color-placeholder": "#8691a3",
    "--mantine-color-default-border": "#333c4a",
    "--surface": "#12171f",
    "--surface-sunken": "#0d1219",
    "--surface-hover": "#1a212c",
    "--surface-selected": "#1c2a47",
    "--border": "#232b36",
    "--text-good": "#45cfa4",
    "--text-bad": "#ff8078",
    "--text-warn": "#efb342",
    "--text-urgent": "#ff9561",
    "--text-link": "#86abf7",
  },
});
