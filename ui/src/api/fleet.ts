// The fleet, as the autoscaler that leads sees it now.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useTime } from "../app/time";
import { fleetSchema } from "../lib/fleet";
import { getJSON } from "./http";

/** Asked anew whenever the page refreshes, whatever range it shows: the answer is always about now. */
export function useFleet() {
  const { range } = useTime();
  return useQuery({
    queryKey: ["fleet", range.to],
    placeholderData: keepPreviousData,
    // Refusals say why, and the next refresh asks again anyway.
    retry: false,
    queryFn: ({ signal }) => getJSON("/api/v1/nodes", fleetSchema, { signal }),
  });
}
