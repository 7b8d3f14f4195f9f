import { Drawer } from "@mantine/core";
import { IconArrowRight, IconLock } from "@tabler/icons-react";
import { useTime } from "../../app/time";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { TextLink } from "../../components/TextLink";
import type { DecisionRecord } from "../../lib/decision";
import { actionsOn, type Fleet, type FleetNode, formatMoney, isPlanned } from "../../lib/fleet";
import { escapeRegex, quote } from "../../lib/promql";
import { formatDateTime, formatRecent } from "../../lib/time";
import classes from "./NodeDrawer.module.css";
import shared from "./NodesPage.module.css";
import { Fullness, formatAge } from "./NodeTable";
import { PhaseBadge } from "./PhaseBadge";

interface NodeDrawerProps {
  /** A node or a claim; nothing is open without it. */
  name?: string;
  fleet?: Fleet;
  records: DecisionRecord[];
  onClose: () => void;
  onOpen: (name: string) => void;
  onRecord: (id: string) => void;
}

/** One node: why it is there, why it stays, and what was decided about it. */
export function NodeDrawer({ name, fleet, records, onClose, onOpen, onRecord }: NodeDrawerProps) {
  return (
    <Drawer
      opened={name !== undefined}
      onClose={onClose}
      position="right"
      size={620}
      title={<span className={classes.title}>{name}</span>}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {name !== undefined && (
        <Details name={name} fleet={fleet} records={records} onOpen={onOpen} onRecord={onRecord} />
      )}
    </Drawer>
  );
}

interface DetailsProps {
  name: string;
  fleet?: Fleet;
  records: DecisionRecord[];
  onOpen: (name: string) => void;
  onRecord: (id: string) => void;
}

export function Details({ name, fleet, records, onOpen, onRecord }: DetailsProps) {
  const entry = fleet?.nodes.find((node) => node.name === name) ?? fleet?.nodes.find((node) => node.claim === name);
  return (
    <div className={classes.body}>
      {entry ? (
        <Known entry={entry} fleet={fleet as Fleet} onOpen={onOpen} />
      ) : (
        fleet && (
          <p className={classes.text}>No node of this name is there now. What was decided about it stands below.</p>
        )
      )}
      <History name={entry?.name ?? name} claim={entry?.claim ?? ""} records={records} onRecord={onRecord} />
      <Links name={entry?.name ?? name} claim={entry?.claim ?? ""} />
    </div>
  );
}

function Known({ entry, fleet, onOpen }: { entry: FleetNode; fleet: Fleet; onOpen: (name: string) => void }) {
  const { zone } = useTime();
  const now = fleet.time ?? Date.now();
  const facts: [string, string][] = [
    ["Policy", entry.policy || "none"],
    ["Claim", entry.claim || "none"],
    ["Offer", entry.offer || "–"],
    ["Zone", entry.zone || "–"],
    ["Capacity type", entry.capacityType || "–"],
    ["Price per hour", entry.pricePerHour > 0 ? formatMoney(entry.pricePerHour) : "not known"],
    ["Age", entry.created === null ? "–" : formatAge(now - entry.created)],
    ["Made", entry.created === null ? "–" : formatDateTime(entry.created, zone)],
    ["Version", entry.version || "–"],
    ["Pods", String(entry.pods)],
  ];
  const moves = fleet.moves.filter((move) =>
    [...move.remove, ...move.create].some(
      (name) => name === entry.name || (entry.claim !== "" && name === entry.claim),
    ),
  );
  return (
    <>
      <PhaseBadge node={entry} />
      <section aria-label="Reason to be">
        <h3 className={classes.head}>Why it is there</h3>
        <p className={classes.text}>{entry.why || "No reason was given."}</p>
      </section>
      <section aria-label="Reason to stay">
        <h3 className={classes.head}>Why it stays, or what is about to happen to it</h3>
        <p className={classes.text}>
          <b>{entry.stay.code}</b> {entry.stay.message}
        </p>
        {entry.stay.verdicts.length > 0 && (
          <ol className={classes.chain} aria-label="What each rule said">
            {entry.stay.verdicts.map((verdict, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the chain is a fixed order, and a rule may stand in it twice
              <li key={index} className={classes.verdict} data-stays={verdict.stays || undefined}>
                <span className={classes.says}>
                  {verdict.stays ? (
                    <IconLock size={13} stroke={2.2} aria-hidden />
                  ) : (
                    <IconArrowRight size={13} stroke={2.2} aria-hidden />
                  )}
                  {verdict.stays ? "it stays" : "goes on"}
                </span>
                <span className={classes.rule} title={verdict.code}>
                  {verdict.rule}
                </span>
                <span>{verdict.message}</span>
              </li>
            ))}
          </ol>
        )}
      </section>
      {moves.length > 0 && (
        <section aria-label="Moves">
          <h3 className={classes.head}>Moves that it is part of</h3>
          {moves.map((move, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows hold no state
            <div key={index}>
              <b>{isPlanned(move) ? "Planned" : move.step}</b> {move.message}
              {[...move.remove, ...(isPlanned(move) ? [] : move.create)]
                .filter((name) => name !== entry.name && name !== entry.claim)
                .slice(0, 5)
                .map((name) => (
                  <span key={name}>
                    {" "}
                    <button type="button" className={shared.link} onClick={() => onOpen(name)}>
                      {name}
                    </button>
                  </span>
                ))}
            </div>
          ))}
        </section>
      )}
      <section aria-label="Fullness" className={classes.meters}>
        <div>
          <h3 className={classes.head}>CPU requested</h3>
          <Fullness entry={entry} resource="cpu" />
        </div>
        <div>
          <h3 className={classes.head}>Memory requested</h3>
          <Fullness entry={entry} resource="memory" />
        </div>
      </section>
      <dl className={classes.facts}>
        {facts.map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd className="num">{value}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

interface HistoryProps {
  name: string;
  claim: string;
  records: DecisionRecord[];
  onRecord: (id: string) => void;
}

const SHOWN = 50;

function History({ name, claim, records, onRecord }: HistoryProps) {
  const { zone } = useTime();
  const found = records.flatMap((record) => actionsOn(record, name, claim).map((action) => ({ record, action })));
  return (
    <section aria-label="Decisions about it">
      <h3 className={classes.head}>Decided about it in this range</h3>
      {found.length === 0 ? (
        <p className={classes.dim}>Nothing.</p>
      ) : (
        <ol className={classes.records}>
          {found.slice(0, SHOWN).map(({ record, action }, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a record may name a node twice
            <li key={index}>
              <div className={classes.line}>
                <button
                  type="button"
                  className={shared.link}
                  onClick={() => onRecord(record.id)}
                  title="Show the decision"
                >
                  {formatRecent(record.ms, zone)}
                </button>
                <OutcomeBadge outcome={record.outcome} />
                <b>{action.action}</b>
              </div>
              {action.reason}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Links({ name, claim }: { name: string; claim: string }) {
  const said =
    claim && claim !== name ? `|~ ${quote(`${escapeRegex(name)}|${escapeRegex(claim)}`)}` : `|= ${quote(name)}`;
  const expr = `sum by (mode) (rate(node_cpu_seconds_total{node=${quote(name)}}[1m]))`;
  return (
    <nav aria-label="Elsewhere" className={classes.links}>
      <TextLink to="/" search={{ node: name }} size="sm">
        How it is doing
      </TextLink>
      <TextLink to="/explore/metrics" search={{ expr }} size="sm">
        Its metrics
      </TextLink>
      <TextLink to="/explore/logs" search={{ expr: `{node=${quote(name)}}` }} size="sm">
        Its logs
      </TextLink>
      <TextLink to="/explore/logs" search={{ expr: `{service_name="yagura-autoscaler"} ${said}` }} size="sm">
        What the autoscaler wrote about it
      </TextLink>
    </nav>
  );
}
