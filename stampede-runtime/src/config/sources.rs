//! Files and variables, walked key by key onto the draft, so that every mistake is found and knows its place.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Source, Value, ValueKind};

#[cfg(feature = "pgvector")]
use super::backends::Made;
#[cfg(feature = "backends")]
use super::backends::What;
use super::draft::{Draft, Scope, folded};
use super::keys::{KEYS, OF_ATTRIBUTES, shown, suggest};

const PREFIX: &str = "STAMPEDE_";
const DEFAULTS: &str = "defaults";
const NAMESPACES: &str = "namespaces";
const BACKENDS: &str = "backends";
const EMBEDDER: &str = "embedder";
const ROOMS: [&str; 4] = [DEFAULTS, NAMESPACES, BACKENDS, EMBEDDER];

/// Where a configuration is to be read from.
#[derive(Clone, Default)]
pub(super) struct Sources {
    pub(super) files: Vec<PathBuf>,
    pub(super) variables: BTreeMap<OsString, OsString>,
}

/// Names; the values of variables may be secret.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<_> = self.variables.keys().filter(|name| is_ours(name)).collect();
        f.debug_struct("Sources").field("files", &self.files).field("variables", &variables).finish()
    }
}

/// Where a value stands.
#[derive(Clone)]
pub(super) enum Place {
    /// A file, and the path of keys in it.
    File(String, Vec<String>),
    Variable(String),
}

impl Place {
    /// The place of a key below this one.
    fn below(&self, key: &str) -> Place {
        match self {
            Place::File(file, keys) => {
                Place::File(file.clone(), keys.iter().cloned().chain([key.to_owned()]).collect())
            }
            Place::Variable(name) => Place::Variable(name.clone()),
        }
    }

    /// The file or the variable.
    fn source(&self) -> &str {
        match self {
            Place::File(name, _) | Place::Variable(name) => name,
        }
    }

    /// How one writes another name here in the place of the last one.
    pub(super) fn spelt(&self, name: &str) -> String {
        match self {
            Place::File(..) => name.to_owned(),
            Place::Variable(variable) => {
                let kept = variable.rfind("__").map_or(PREFIX, |at| &variable[..at + 2]);
                format!("{kept}{}", name.to_uppercase())
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file, keys) => {
                let is_bare =
                    |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
                let quoted = |key: &String| if is_bare(key) { key.clone() } else { format!("{key:?}") };
                write!(f, "{file}: `{}`", keys.iter().map(quoted).collect::<Vec<_>>().join("."))
            }
            Place::Variable(name) => write!(f, "{name}"),
        }
    }
}

/// What a backend or the embedder is said to be. The values are nobody's business.
pub(super) struct Said {
    /// Where it is named first.
    pub(super) place: Place,
    /// What is said of it, and where each key stands that says it.
    #[cfg_attr(not(feature = "backends"), allow(dead_code))]
    pub(super) keys: BTreeMap<String, (ValueKind, Place)>,
}

impl Said {
    fn at(place: Place) -> Said {
        Said { place, keys: BTreeMap::new() }
    }

    /// What stands in a table at this place, which is stronger than what was said before.
    fn add(&mut self, place: &Place, table: Vec<(String, Value)>) {
        self.keys.extend(table.into_iter().map(|(key, value)| {
            let place = place.below(&key);
            (key, (value.kind, place))
        }));
    }
}

impl Sources {
    /// Everything that files and variables say, from weak to strong.
    pub(super) fn read(self, draft: &mut Draft) {
        let mut walk = Walk { draft, backends: BTreeMap::new(), embedder: None };
        let mut variables = Vec::new();
        let mut files = self.files;
        let mut named_by = "";
        for (name, value) in self.variables.into_iter().filter(|(name, _)| is_ours(name)) {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
                walk.draft.problem(format!("{}: it is not Unicode", name.display()));
                continue;
            };
            match &name[PREFIX.len()..] {
                // Switches all sharing off, with or without a configuration.
                "OFF" => {}
                "CONFIG" if value.is_empty() => {}
                "CONFIG" => {
                    files = vec![value.into()];
                    named_by = "STAMPEDE_CONFIG: ";
                }
                rest if is_of_kubernetes(rest) => {}
                _ => variables.push((name.to_owned(), value.to_owned())),
            }
        }
        for path in files {
            walk.file(&path, named_by);
        }
        for (name, value) in variables {
            walk.variable(&name, value);
        }
        walk.finish();
    }
}

fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// A pod finds the addresses of services named `stampede` or `stampede-…` in variables, whether it wants to or not.
fn is_of_kubernetes(rest: &str) -> bool {
    let words = format!("_{rest}");
    let is_port = |(_, after): (&str, &str)| after.starts_with(|digit: char| digit.is_ascii_digit());
    !rest.contains("__")
        && (words.ends_with("_SERVICE_HOST")
            || words.contains("_SERVICE_PORT")
            || words.ends_with("_PORT")
            || words.split_once("_PORT_").is_some_and(is_port))
}

/// The keys and values of a file.
fn parse(path: &Path) -> Result<Map<String, Value>, String> {
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        Some("yaml" | "yml") => FileFormat::Yaml,
        _ => return Err("the name of a configuration file ends with .toml, .yaml or .yml".to_owned()),
    };
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    File::from_str(text, format).collect().map_err(|error| {
        let error = error.to_string();
        // What these say beyond this is what the file holds, and there may be a password in it.
        if error.starts_with("invalid type") {
            return "the file is no table of keys".to_owned();
        }
        let lines = error.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
        lines.collect::<Vec<_>>().join(": ")
    })
}

struct Walk<'a> {
    draft: &'a mut Draft,
    backends: BTreeMap<String, Said>,
    embedder: Option<Said>,
}

impl Walk<'_> {
    fn at(&mut self, place: &Place, problem: impl fmt::Display) {
        self.draft.problem(format!("{place}: {problem}"));
    }

    fn file(&mut self, path: &Path, named_by: &str) {
        let file = path.display().to_string();
        let rooms = match parse(path) {
            Ok(rooms) => rooms,
            Err(problem) => {
                self.draft.is_partial = true;
                return self.draft.problem(format!("{named_by}{file}: {problem}"));
            }
        };
        let top = Place::File(file, Vec::new());
        for (room, value) in sorted(rooms) {
            let place = top.below(&room);
            if !ROOMS.contains(&room.as_str()) {
                self.unknown_room(&place, &room);
                continue;
            }
            let Some(table) = self.table(&place, value) else { continue };
            if room == DEFAULTS {
                self.settings(&Scope::Defaults, &place, table);
                continue;
            }
            if room == EMBEDDER {
                self.embedder.get_or_insert_with(|| Said::at(place.clone())).add(&place, table);
                continue;
            }
            for (name, value) in table {
                let place = place.below(&name);
                if name.is_empty() {
                    self.at(&place, "the name is empty");
                }
                let Some(table) = self.table(&place, value) else { continue };
                if room == NAMESPACES {
                    self.settings(&Scope::Namespace(name), &place, table);
                } else {
                    self.backends.entry(name).or_insert_with(|| Said::at(place.clone())).add(&place, table);
                }
            }
        }
    }

    fn table(&mut self, place: &Place, value: Value) -> Option<Vec<(String, Value)>> {
        match value.kind {
            ValueKind::Table(table) => Some(sorted(table)),
            // In YAML, a table of which every line is commented out.
            ValueKind::Nil => Some(Vec::new()),
            other => {
                self.at(place, format_args!("a table of keys belongs here, not {}", shown(&other)));
                None
            }
        }
    }

    fn unknown_room(&mut self, place: &Place, room: &str) {
        if KEYS.iter().any(|key| key.name == room) {
            self.at(place, "unknown key; settings belong under `[defaults]` or a namespace");
        } else {
            self.unknown(place, room, ROOMS);
        }
    }

    fn settings(&mut self, scope: &Scope, place: &Place, table: Vec<(String, Value)>) {
        for (key, value) in table {
            self.setting(scope, &key, &value.kind, &place.below(&key));
        }
    }

    fn setting(&mut self, scope: &Scope, name: &str, value: &ValueKind, place: &Place) {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            if matches!(value, ValueKind::Table(_)) && matches!(scope, Scope::Namespace(_)) {
                return self.at(place, "unknown key; a namespace is one name, in quotes: \"my_app::llm\"");
            }
            return self.unknown(place, name, KEYS.iter().map(|key| key.name));
        };
        let setting = match (key.read)(value) {
            Ok(setting) => setting,
            Err(takes) => return self.at(place, format_args!("`{name}` takes {takes}; not {}", shown(value))),
        };
        for problem in setting.problems() {
            self.at(place, problem);
        }
        self.draft.set(scope.clone(), key.name, place.source().to_owned(), setting);
    }

    fn unknown<'k>(&mut self, place: &Place, name: &str, known: impl IntoIterator<Item = &'k str>) {
        if OF_ATTRIBUTES.contains(&name) {
            return self.at(place, format_args!("unknown key; `{name}` is for attributes only"));
        }
        let known: Vec<_> = known.into_iter().collect();
        match suggest(name, known.iter().copied()) {
            Some(meant) => self.at(place, format_args!("unknown key; did you mean `{}`?", place.spelt(meant))),
            None => self.at(place, format_args!("unknown key; there are {}", list(known))),
        }
    }

    fn variable(&mut self, name: &str, value: String) {
        let place = Place::Variable(name.to_owned());
        let lower = name[PREFIX.len()..].to_lowercase();
        let Some((room, rest)) = lower.split_once("__") else { return self.without_room(&place, &lower) };
        if !ROOMS.contains(&room) {
            let meant = suggest(room, ROOMS).map(|room| format!("{room}__{rest}"));
            return self.unknown_variable(&place, meant);
        }
        let value = ValueKind::String(value);
        if room == DEFAULTS {
            return self.setting(&Scope::Defaults, rest, &value, &place);
        }
        if room == EMBEDDER {
            let said = self.embedder.get_or_insert_with(|| Said::at(place.clone()));
            said.keys.insert(rest.to_owned(), (value, place));
            return;
        }
        let Some((spelt, key)) = rest.rsplit_once("__").filter(|(spelt, key)| !spelt.is_empty() && !key.is_empty())
        else {
            return self.unknown_variable(&place, None);
        };
        let spelt = spelt.to_uppercase();
        if room == NAMESPACES {
            let is_meant = |name: &&str| folded(name) == spelt;
            let mut scopes: Vec<_> =
                self.draft.namespaces().filter(is_meant).map(|name| Scope::Namespace(name.to_owned())).collect();
            if scopes.is_empty() {
                scopes.push(Scope::SpeltByVariables(spelt));
            }
            for scope in scopes {
                self.setting(&scope, key, &value, &place);
            }
        } else {
            let meant = self.backends.keys().find(|name| folded(name) == spelt).cloned();
            let name = meant.unwrap_or_else(|| spelt.to_lowercase().replace("__", "::"));
            let said = self.backends.entry(name).or_insert_with(|| Said::at(place.clone()));
            said.keys.insert(key.to_owned(), (value, place));
        }
    }

    /// A variable without two underscores is none of ours, and probably meant to be.
    fn without_room(&mut self, place: &Place, rest: &str) {
        let below = |room: &&str| rest.strip_prefix(*room)?.strip_prefix('_').map(|rest| format!("{room}__{rest}"));
        let meant = if KEYS.iter().any(|key| key.name == rest) {
            Some(format!("{DEFAULTS}__{rest}"))
        } else {
            ROOMS.iter().find_map(below).or_else(|| suggest(rest, ["off", "config"]).map(str::to_owned))
        };
        self.unknown_variable(place, meant);
    }

    fn unknown_variable(&mut self, place: &Place, meant: Option<String>) {
        match meant {
            Some(meant) => {
                self.at(place, format_args!("unknown variable; did you mean `{PREFIX}{}`?", meant.to_uppercase()));
            }
            None => self.at(
                place,
                format_args!(
                    "unknown variable; there are `{PREFIX}DEFAULTS__KEY`, `{PREFIX}NAMESPACES__NAME__KEY`, \
                     `{PREFIX}BACKENDS__NAME__KEY`, `{PREFIX}EMBEDDER__KEY`"
                ),
            ),
        }
    }

    #[cfg(feature = "semantic")]
    fn finish_embedder(&mut self) {
        let Some(said) = self.embedder.take() else { return };
        if self.draft.embedder.get().is_some() {
            self.at(&said.place, "code gives an embedder too");
        } else if let Some(embedder) = super::kinds::embedders::make(&said, self.draft) {
            self.draft.embedder.choose(embedder);
        }
    }

    #[cfg(not(feature = "semantic"))]
    fn finish_embedder(&mut self) {
        if let Some(said) = self.embedder.take() {
            self.at(&said.place, "an embedder needs the cargo feature `semantic` of `stampede-runtime`");
        }
    }

    #[cfg(feature = "backends")]
    fn finish(mut self) {
        self.finish_embedder();
        for (name, said) in self.backends {
            if let Some(what) = self.draft.backends.what(&name) {
                let article = if what == What::Index { "an" } else { "a" };
                self.draft.problem(format!("{}: code gives {article} {what} of that name too", said.place));
            } else if let Some((kind, made)) = super::kinds::make(&said, self.draft) {
                #[cfg(feature = "pgvector")]
                if let Made::Index(_) = made {
                    self.draft.check_name_of_index(&said.place, &name);
                }
                self.draft.backends.insert(name, kind, made);
            } else {
                // One problem is enough: it is configured, and whoever names it is right.
                self.draft.backends.broken(name);
            }
        }
    }

    #[cfg(not(feature = "backends"))]
    fn finish(mut self) {
        self.finish_embedder();
        for said in std::mem::take(&mut self.backends).into_values() {
            self.at(&said.place, "backends need the cargo feature `backends` of `stampede-runtime`");
        }
    }
}

/// In one order, however the file was written: a report that is the same each time can be compared.
fn sorted(table: Map<String, Value>) -> Vec<(String, Value)> {
    table.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
