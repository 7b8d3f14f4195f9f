import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const backend = process.env.YAGURA_URL ?? "http://127.0.0.1:9428";

export default defineConfig({
  plugins: [react()],
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: Object.fromEntries(
      ["/prometheus", "/loki", "/jaeger", "/api", "/healthz", "/readyz"].map((path) => [path, { target: backend }]),
    ),
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
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
    css: false,
  },
});
