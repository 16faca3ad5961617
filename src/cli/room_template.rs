//! `portcullis room-template`: room templates to the components that a room starts with, and back.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use portcullis_core::room::{About, Template, TemplateError};
use portcullis_core::wire::components::{ComponentId, Dictionary};
use portcullis_core::wire::uri::{RoomUri, UserUri};
use portcullis_core::yaml;
use serde::{Deserialize, Serialize};

use super::{Failure, output};

/// Arguments of `portcullis room-template`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis room-template compile strict --policies gw/policies > strict.json
  portcullis room-template compile my.yaml --room mimi://a.example/r/x --creator mimi://a.example/u/alice
  portcullis room-template show strict.json
  portcullis room-template show strict --policies gw/policies

Exit codes: 0 good, 3 not a room template, or components that none can say, 64 usage.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the components that a room of the template starts with, as JSON: who takes part, its policies, its name.
    Compile(Compile),
    /// Print a template, or what components say, as YAML with the capabilities of each role written out.
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// A template: a YAML file, or with --policies the name of one in the bundle
    #[arg(value_name = "FILE-OR-NAME")]
    template: PathBuf,

    /// The folder of a policy bundle
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Compile {
    #[command(flatten)]
    which: Which,

    /// The room
    #[arg(long, value_name = "URI", default_value = "mimi://a.example/r/room")]
    room: RoomUri,

    /// Who creates it
    #[arg(long, value_name = "URI", default_value = "mimi://a.example/u/creator")]
    creator: UserUri,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// A template as for compile, or what compile has printed
    #[command(flatten)]
    which: Which,
}

/// What `room-template compile` prints, and `room-template show` reads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Printed {
    components: Vec<PrintedComponent>,
}

impl Printed {
    /// The template that makes these components.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for a person to read: octets that are not hexadecimal, or components that no template says.
    pub fn template(&self) -> Result<Template, String> {
        let components = self.components.iter().map(|component| {
            let data = HEXLOWER_PERMISSIVE.decode(component.hex.as_bytes()).ok()?;
            Some((ComponentId(component.id), data))
        });
        let components = components.collect::<Option<Dictionary>>().ok_or("a component is not hexadecimal")?;
        Template::of_components(&components).map_err(|error| error.to_string())
    }
}

impl From<&Dictionary> for Printed {
    fn from(components: &Dictionary) -> Self {
        let printed = components.iter().map(|(id, data)| PrintedComponent {
            id: id.0,
            name: id.to_string(),
            hex: HEXLOWER.encode(data),
        });
        Self { components: printed.collect() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrintedComponent {
    id: u16,
    name: String,
    hex: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Compile(args) => compile(args),
        Command::Show(args) => show(&args.which),
    }
}

fn compile(args: &Compile) -> Result<(), Failure> {
    let (path, text) = args.which.read()?;
    let template = parse(&path, &text)?;
    let components = template.room_components(&args.room, &About::named(template.title()), &args.creator);
    output::line(serde_json::to_string_pretty(&Printed::from(&components)).context("components cannot be printed")?);
    Ok(())
}

fn show(which: &Which) -> Result<(), Failure> {
    let (path, text) = which.read()?;
    let template = match serde_json::from_str::<Printed>(&text) {
        Ok(printed) => printed
            .template()
            .map_err(|error| Failure::invalid([miette::Report::msg(format!("{}: {error}", path.display()))]))?,
        Err(_) => parse(&path, &text)?,
    };
    output::line(template.to_yaml().context("template cannot be written")?.trim_end());
    Ok(())
}

impl Which {
    fn read(&self) -> Result<(PathBuf, String), Failure> {
        let templates = self.policies.as_ref().map(|dir| dir.join("templates"));
        let named = templates.as_ref().map(|templates| templates.join(&self.template).with_extension("yaml"));
        let path = named.filter(|path| path.is_file()).unwrap_or_else(|| self.template.clone());
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let error = format!("cannot read `{}`: {error}", path.display());
            Failure::usage(match templates {
                _ if !missing => error,
                Some(templates) => format!("{error}; {}", Self::others(&templates)),
                None => format!("{error}; for a template of a bundle, give its folder with --policies"),
            })
        })?;
        Ok((path, text))
    }

    /// What templates there are.
    fn others(templates: &Path) -> String {
        let entries = std::fs::read_dir(templates).into_iter().flatten().filter_map(Result::ok);
        let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|of| of == "yaml"));
        let mut names: Vec<String> =
            paths.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
        names.sort();
        if names.is_empty() {
            return format!("there are no templates in `{}`", templates.display());
        }
        format!("the bundle has `{}`", names.join("`, `"))
    }
}

fn parse(path: &Path, text: &str) -> Result<Template, Failure> {
    Template::parse(text).map_err(|error| {
        let place = match &error {
            TemplateError::Yaml(yaml::YamlError { line: Some(line), column, .. }) => {
                format!(":{line}:{}", column.unwrap_or(1))
            }
            TemplateError::Yaml(_)
            | TemplateError::UnknownRole(_)
            | TemplateError::UnknownCapability(_)
            | TemplateError::AmbiguousRole(_)
            | TemplateError::Roles(_) => String::new(),
        };
        Failure::invalid([miette::Report::msg(format!("{}{place}: {:#}", path.display(), anyhow::Error::from(error)))])
    })
}
