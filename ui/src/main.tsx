import "@mantine/core/styles.css";
import "@mantine/spotlight/styles.css";
import "uplot/dist/uPlot.min.css";
import "./app/global.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { z } from "zod";
import { ApiError } from "./api/http";
import { router } from "./app/router";
import { cssVariables, theme } from "./app/theme";

// Zod compiles parsers with `new Function` where it may; under our Content-Security-Policy it may not, and trying
// would report a violation.
z.config({ jitless: true });

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // Keys hold absolute ranges, so an answer does not age; old ranges are forgotten soon.
      staleTime: 30_000,
      gcTime: 20_000,
      refetchOnWindowFocus: false,
      retry: (failures, error) => failures < 1 && !(error instanceof ApiError && error.permanent),
    },
  },
});

const container = document.getElementById("root");
if (!container) throw new Error("index.html has no #root");

createRoot(container).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
