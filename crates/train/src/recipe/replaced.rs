//! A recipe whose base or teacher is another model than the one it names: its card tells of the models
//! that were used, and says no more than is known of them.

use std::path::Path;

use super::{Card, CardSource, Recipe};
use korfinsts_base::{fs, yaml};
use korfinsts_encoder::EncoderSpec;

impl Recipe {
    /// Puts models in the place of those that the recipe names. The card was written for those: its
    /// description, licence and languages go, and so do the sources of their kind.
    pub fn replace(&mut self, base: Option<&EncoderSpec>, teachers: &[EncoderSpec]) {
        let mut told = Vec::new();
        let mut models = Vec::new();
        if let (Some(base), Some(named)) = (base, &mut self.base.model) {
            models.push((base, named, "base model"));
        }
        let named = self.teachers.iter_mut().map(|teacher| &mut teacher.model);
        models.extend(teachers.iter().zip(named).map(|(t, n)| (t, n, "teacher")));
        let one = models.iter().filter(|m| m.2 == "teacher").count() < 2;
        for (used, named, role) in models {
            if *named == used.name {
                continue;
            }
            // Of several teachers, the source of the one that was replaced goes.
            let meant = |source: &CardSource| {
                source.used_for == role && (one || named.ends_with(&source.name))
            };
            self.card.sources.retain(|source| !meant(source));
            told.push(format!(
                "`{}` as its {role}, in place of `{named}`",
                used.name
            ));
            named.clone_from(&used.name);
            let source = CardSource {
                name: used.name.clone(),
                licence: licence(&used.folder).unwrap_or_else(|| "not known".to_owned()),
                url: String::new(),
                used_for: role.to_owned(),
            };
            self.card.sources.insert(0, source);
        }
        if !told.is_empty() {
            let (name, told) = (&self.name, told.join(", and "));
            self.card = Card {
                description: format!("The result of the recipe `{name}` with {told}."),
                sources: std::mem::take(&mut self.card.sources),
                ..Card::default()
            };
        }
    }
}

/// The licence that a model's card names.
fn licence(folder: &Path) -> Option<String> {
    let text = String::from_utf8(fs::read(&folder.join("README.md")).ok()?).ok()?;
    let head = yaml::front_matter(&text).ok()??;
    let licence = head.get("license")?.as_str()?.trim();
    (!licence.is_empty()).then(|| licence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "schema = 1\nname = \"r\"\n[base]\nmodel = \"org/a\"\n[[stage]]\nname = \"s\"\n\
        batch = 8\nepochs = 1\nlearning_rate = 1e-3\ndata = [{ triplets = \"t.jsonl\" }]\n\
        [card]\nlicence = \"MIT\"\nlanguages = [\"zh\"]\ndescription = \"org/a adapted.\"\n\
        sources = [{ name = \"org/a\", licence = \"MIT\", used_for = \"base model\" },\n\
        { name = \"T\", licence = \"CC-BY-4.0\", used_for = \"triplets\" }]\n";

    #[test]
    fn of_several_teachers_the_one_that_was_replaced_is_told() {
        let text = RECIPE
            .replace(
                "[base]",
                "[[teacher]]\nmodel = \"org/t\"\n[[teacher]]\nmodel = \"org/u\"\n[base]",
            )
            .replace(
                "\"base model\" },",
                "\"base model\" },\n{ name = \"t\", licence = \"MIT\", used_for = \"teacher\" },\n\
                { name = \"u\", licence = \"MIT\", used_for = \"teacher\" },",
            );
        let mut recipe = Recipe::parse(&text, Path::new("r.toml")).expect("it is right");
        let spec = |name: &str| EncoderSpec {
            name: name.into(),
            ..EncoderSpec::default()
        };
        recipe.replace(None, &[spec("org/t"), spec("other")]);
        let models: Vec<&str> = recipe.teachers.iter().map(|t| t.model.as_str()).collect();
        assert_eq!(models, ["org/t", "other"]);
        let names: Vec<&str> = recipe
            .card
            .sources
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        assert_eq!(names, ["other", "org/a", "t", "T"]);
    }

    #[test]
    fn the_card_tells_of_the_model_that_was_used() {
        let recipe = Recipe::parse(RECIPE, Path::new("r.toml")).expect("it is right");
        let folder = tempfile::tempdir().expect("a folder");
        let model = |name: &str| EncoderSpec {
            name: name.into(),
            folder: folder.path().to_owned(),
            ..EncoderSpec::default()
        };
        let mut same = recipe.clone();
        same.replace(Some(&model("org/a")), &[]);
        same.replace(None, &[model("no/place")]);
        assert_eq!(same, recipe);
        for (head, licence) in [
            (None, "not known"),
            (Some("# No head\n"), "not known"),
            (Some("---\nlicense: cc-by-nc-4.0\n---\n"), "cc-by-nc-4.0"),
        ] {
            if let Some(head) = head {
                let path = folder.path().join("README.md");
                fs::write_atomic(&path, head.as_bytes()).expect("written");
            }
            let mut other = recipe.clone();
            other.replace(Some(&model("b")), &[]);
            assert_eq!(other.base.model.as_deref(), Some("b"));
            let card = other.card;
            assert_eq!((card.licence.as_str(), card.languages.len()), ("", 0));
            assert!(
                card.description
                    .contains("`b` as its base model, in place of `org/a`")
            );
            let sources: Vec<(&str, &str)> = card
                .sources
                .iter()
                .map(|s| (s.name.as_str(), s.licence.as_str()))
                .collect();
            assert_eq!(sources, [("b", licence), ("T", "CC-BY-4.0")]);
        }
    }
}
