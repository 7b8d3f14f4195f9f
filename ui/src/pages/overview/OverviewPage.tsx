import { Page } from "../../components/Page";
import { AutoscalersSection } from "./AutoscalersSection";
import { ContainersSection } from "./ContainersSection";
import { LogRateSection } from "./LogRateSection";
import { NodeSection } from "./NodeSection";
import classes from "./Overview.module.css";
import { ServicesSection } from "./ServicesSection";

export function OverviewPage() {
  return (
    <Page title="Overview">
      <NodeSection />
      <AutoscalersSection />
      <ContainersSection />
      <div className={classes.columns}>
        <LogRateSection />
        <ServicesSection />
      </div>
    </Page>
  );
}
