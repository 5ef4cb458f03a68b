//! The page says what the tests find: neither can change without the other.

use super::{Symptom, agent, evolution, hub, messages, tenants};

/// The page.
const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// Every symptom, in the order of the page.
const SYMPTOMS: [&Symptom; 20] = [
    &agent::NOT_REACHED,
    &evolution::KEY_REFUSED,
    &tenants::SHARED,
    &tenants::DISCORD,
    &messages::UNMENTIONED,
    &evolution::NO_WEBHOOK,
    &evolution::WRONG_WEBHOOK,
    &evolution::NOT_CONNECTED,
    &evolution::SERVER_AWAY,
    &agent::LOOPBACK,
    &agent::REFUSED,
    &messages::INACTIVE,
    &messages::BLOCKED,
    &messages::PAUSED,
    &hub::NO_WORKER,
    &hub::NO_BROKER,
    &hub::NO_DATABASE,
    &hub::NOT_THERE,
    &hub::NO_KEYS,
    &hub::OLD_TABLES,
];

/// The lines of a section that are commands.
fn commands(section: &str) -> Vec<&str> {
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.flat_map(str::lines).filter(|line| line.starts_with("omnihub ")).collect()
}

#[test]
fn each_section_quotes_the_lines_and_the_commands_that_were_tried() {
    let sections: Vec<&str> = PAGE.split("\n## ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
    assert_eq!(titles, SYMPTOMS.map(|symptom| symptom.title));
    for (section, symptom) in sections.iter().zip(SYMPTOMS) {
        let quotes: Vec<&str> = section.lines().filter(|line| line.starts_with("> ")).collect();
        let lines: Vec<String> = symptom.lines.iter().map(|line| line.quoted()).collect();
        assert_eq!(quotes, lines, "{}", symptom.title);
        let commands: Vec<&str> =
            commands(section).into_iter().map(|line| line.split("  #").next().unwrap_or(line).trim_end()).collect();
        assert_eq!(commands, symptom.mends, "{}", symptom.title);
    }
}
