import { useComputedColorScheme } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { type Scheme, serviceColors } from "../lib/colors";
import { services } from "./jaeger";

/** The services that have traces. */
export function useServices() {
  return useQuery({
    queryKey: ["services"],
    queryFn: ({ signal }) => services(signal),
    placeholderData: keepPreviousData,
    staleTime: 15_000,
    gcTime: 300_000,
  });
}

/** The colour of each service: by its place among all of them, and those that a page knows besides. */
export function useServiceColors(besides: string[]): (name: string) => string {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const known = useServices().data;
  return useMemo(() => serviceColors([...(known ?? []), ...besides], scheme), [known, besides, scheme]);
}
