import { Anchor } from "@mantine/core";
import { createLink } from "@tanstack/react-router";

/** A link within the interface that looks like one, with the router's types. */
export const TextLink = createLink(Anchor<"a">);
