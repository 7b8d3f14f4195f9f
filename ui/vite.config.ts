import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const backend = process.env.YAGURA_URL ?? "http://127.0.0.1:9428";

const proxy = Object.fromEntries(
  ["/prometheus", "/loki", "/jaeger", "/api", "/healthz", "/readyz"].map((path) => [path, { target: backend }]),
);

export default defineConfig({
  plugins: [react()],
  server: { host: "127.0.0.1", port: 5173, proxy },
  // The built interface, under the policy that the query service sets.
  preview: {
    host: "127.0.0.1",
    port: 4173,
    proxy,
    headers: {
      "Content-Security-Policy":
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
        "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    },
  },
  build: {
    // public/.keep puts dist/.keep back, which the Go embed needs in a fresh clone.
    emptyOutDir: true,
    // No data: URLs, so that the Content-Security-Policy can stay at 'self'.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    reportCompressedSize: true,
  },
  test: {
    // Tests of components ask for jsdom themselves; it costs seconds per file.
    environment: "node",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
    css: false,
  },
});
