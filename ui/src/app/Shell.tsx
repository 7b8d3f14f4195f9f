import {
  ActionIcon,
  AppShell,
  Burger,
  Group,
  Kbd,
  NavLink,
  Stack,
  Text,
  Tooltip,
  UnstyledButton,
  useComputedColorScheme,
  useMantineColorScheme,
  VisuallyHidden,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { spotlight } from "@mantine/spotlight";
import { IconInfoCircle, IconKeyboard, IconMoon, IconSearch, IconSun } from "@tabler/icons-react";
import { Link, useLocation } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import { AboutDialog } from "./AboutDialog";
import { HelpDialog } from "./HelpDialog";
import { Mark } from "./Mark";
import { PAGES } from "./navigation";
import { Palette } from "./Palette";
import { RangePicker } from "./RangePicker";
import { RefreshControl } from "./RefreshControl";
import classes from "./Shell.module.css";
import { useShortcuts } from "./shortcuts";
import { useTime } from "./time";

/** The frame of every page: navigation, the shared range, and what opens over the page. */
export function Shell({ children }: { children: ReactNode }) {
  const [navOpen, nav] = useDisclosure(false);
  const [helpOpen, help] = useDisclosure(false);
  const [aboutOpen, about] = useDisclosure(false);
  const { refreshNow } = useTime();
  const { pathname } = useLocation();
  useShortcuts({ onHelp: help.open, onRefresh: refreshNow });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the drawer closes whenever the page changes
  useEffect(() => nav.close(), [pathname]);

  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 200, breakpoint: "sm", collapsed: { mobile: !navOpen } }}
      padding={0}
    >
      <a href="#content" className={classes.skip}>
        Skip to the page's content
      </a>
      <AppShell.Header className={classes.header}>
        <Group h="100%" px="md" gap="sm" wrap="nowrap" justify="space-between">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={navOpen} onClick={nav.toggle} hiddenFrom="sm" size="sm" aria-label="Navigation" />
            <Link to="/" className={classes.brand} aria-label="Yagura">
              <Mark size={26} />
              <Text span fw={680} size="lg" visibleFrom="xs">
                Yagura
              </Text>
            </Link>
          </Group>
          <UnstyledButton className={classes.search} onClick={spotlight.open} visibleFrom="sm">
            <IconSearch size={15} aria-hidden />
            <span className="ellipsis">Find pages, services, metrics…</span>
            <Kbd size="xs">Ctrl K</Kbd>
          </UnstyledButton>
          <Group gap="xs" wrap="nowrap">
            <RangePicker />
            <RefreshControl />
            <SchemeToggle />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar className={classes.navbar} p="xs" aria-label="Main">
        <Stack gap={2} flex={1}>
          {PAGES.map((page) => {
            const active = page.to === "/" ? pathname === "/" : pathname.startsWith(page.to);
            return (
              <NavLink
                key={page.to}
                component={Link}
                to={page.to}
                label={page.label}
                leftSection={<page.icon size={18} stroke={1.7} aria-hidden />}
                active={active}
                aria-current={active ? "page" : undefined}
                className={classes.link}
              />
            );
          })}
        </Stack>
        <Group gap={4} className={classes.foot}>
          <Tooltip label="Keyboard (?)">
            <ActionIcon onClick={help.open} aria-label="Keyboard shortcuts" size="lg">
              <IconKeyboard size={18} stroke={1.7} />
            </ActionIcon>
          </Tooltip>
          <Tooltip label="About this server">
            <ActionIcon onClick={about.open} aria-label="About this server" size="lg">
              <IconInfoCircle size={18} stroke={1.7} />
            </ActionIcon>
          </Tooltip>
        </Group>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} className={classes.main}>
        {children}
      </AppShell.Main>
      <Palette />
      <HelpDialog opened={helpOpen} onClose={help.close} />
      <AboutDialog opened={aboutOpen} onClose={about.close} />
    </AppShell>
  );
}

function SchemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false });
  const next = scheme === "dark" ? "light" : "dark";
  return (
    <Tooltip label={`Switch to ${next}`}>
      <ActionIcon
        variant="default"
        size={36}
        onClick={() => setColorScheme(next)}
        aria-label={`Switch to the ${next} colour scheme`}
      >
        {scheme === "dark" ? <IconSun size={16} /> : <IconMoon size={16} />}
        <VisuallyHidden>{scheme}</VisuallyHidden>
      </ActionIcon>
    </Tooltip>
  );
}
