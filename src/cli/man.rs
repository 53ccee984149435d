//! `man`: the manual page, every command in it.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::output;

/// Prints the page, to be read with `scrubjay man | man -l -` or installed as `scrubjay.1`.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut root = super::Cli::command();
    root.build();
    let mut page = Vec::new();
    Man::new(root.clone()).render(&mut page)?;
    // clap_mangen writes a page for each command; one page for all is what people look for, so their bodies follow.
    let mut below: Vec<&clap::Command> = root.get_subcommands().filter(|command| command.get_name() != "help").collect();
    while !below.is_empty() {
        let command = below.remove(0);
        let nested: Vec<&clap::Command> = command.get_subcommands().filter(|command| command.get_name() != "help").collect();
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace('-', " ");
        page.extend_from_slice(format!(".SH \"{}\"\n", name.to_uppercase()).as_bytes());
        let man = Man::new(command.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        below.splice(0..0, nested);
    }
    output::write_bytes(&page)
}
