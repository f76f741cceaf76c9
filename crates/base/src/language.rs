//! Codes of languages with their script, as suites, corpora and releases declare them: `kor-Hang`.

/// Codes of ISO 639-3 that suites and corpora are likely to name: every language that ISO 639-1 knows,
/// with its code there (`/ko`), and others of public corpora. To add one: its code, in this list.
const LANGUAGES: &str = "\
    aar/aa abk/ab ace afr/af aka/ak amh/am ara/ar arb arg/an ary arz asm/as ast ava/av \
    ave/ae awa aym/ay aze/az azj bak/ba bal bam/bm ban bcl bel/be ben/bn bho bik bis/bi \
    bod/bo bos/bs bre/br bug bul/bg cat/ca ceb ces/cs cha/ch che/ce chu/cu chv/cv ckb cmn \
    cor/kw cos/co cre/cr crh cym/cy dan/da deu/de div/dv dsb dzo/dz ekk ell/el eng/en epo/eo \
    est/et eus/eu ewe/ee fao/fo fas/fa fij/fj fil fin/fi fra/fr fry/fy ful/ff fur gag gla/gd \
    gle/ga glg/gl glv/gv gom grc grn/gn gsw guj/gu hak hat/ht hau/ha hbs heb/he her/hz \
    hin/hi hmn hmo/ho hne hrv/hr hsb hun/hu hye/hy ibo/ig ido/io iii/ii iku/iu ile/ie ilo \
    ina/ia ind/id ipk/ik isl/is ita/it jav/jv jje jpn/ja kab kac kal/kl kan/kn kas/ks kat/ka \
    kau/kr kaz/kk kbd khk khm/km kik/ki kin/rw kir/ky kmr kok kom/kv kon/kg kor/ko krc ksh \
    kua/kj kur/ku lao/lo lat/la lav/lv lez lij lim/li lin/ln lit/lt lmo ltz/lb lub/lu lug/lg \
    lus lvs lzh mag mah/mh mai mal/ml mar/mr mdf min mkd/mk mlg/mg mlt/mt mni mon/mn mri/mi \
    msa/ms mul mwl mya/my myv nan nap nau/na nav/nv nbl/nr nde/nd ndo/ng nds nep/ne nld/nl \
    nno/nn nob/nb nor/no npi nqo nso nya/ny oci/oc oji/oj ori/or orm/om ory oss/os pag pam \
    pan/pa pap pcm pes pli/pi plt pms pnb pol/pl por/pt prs pus/ps que/qu roh/rm ron/ro \
    run/rn rus/ru sag/sg sah san/sa sat scn sco shn sin/si slk/sk slv/sl sme/se smo/sm \
    sna/sn snd/sd som/so sot/st spa/es sqi/sq srd/sc srp/sr srr ssw/ss sun/su swa/sw swe/sv \
    swh szl tah/ty tam/ta tat/tt tcy tel/te tgk/tg tgl/tl tha/th tir/ti ton/to tpi tsn/tn \
    tso/ts tuk/tk tum tur/tr twi/tw tyv tzm udm uig/ug ukr/uk umb und urd/ur uzb/uz uzn vec \
    ven/ve vie/vi vmf vol/vo vro war wln/wa wol/wo wuu xal xho/xh yid/yi yor/yo yue zha/za \
    zho/zh zsm zul/zu";

/// ISO 15924: the codes of scripts.
const SCRIPTS: &str = "\
    Adlm Afak Aghb Ahom Arab Aran Armi Armn Avst Bali Bamu Bass Batk Beng Bhks Blis Bopo \
    Brah Brai Bugi Buhd Cakm Cans Cari Cham Cher Cirt Copt Cprt Cyrl Cyrs Deva Dsrt Dupl \
    Egyd Egyh Egyp Elba Ethi Geok Geor Glag Goth Gran Grek Gujr Guru Hanb Hang Hani Hano \
    Hans Hant Hatr Hebr Hira Hluw Hmng Hrkt Hung Inds Ital Jamo Java Jpan Jurc Kali Kana \
    Khar Khmr Khoj Kitl Kits Knda Kore Kpel Kthi Lana Laoo Latf Latg Latn Leke Lepc Limb \
    Lina Linb Lisu Loma Lyci Lydi Mahj Mand Mani Marc Maya Mend Merc Mero Mlym Modi Mong \
    Moon Mroo Mtei Mult Mymr Narb Nbat Newa Nkgb Nkoo Nshu Ogam Olck Orkh Orya Osge Osma \
    Palm Pauc Perm Phag Phli Phlp Phlv Phnx Piqd Plrd Prti Rjng Roro Runr Samr Sara Sarb \
    Saur Sgnw Shaw Shrd Sidd Sind Sinh Sora Sund Sylo Syrc Syre Syrj Syrn Tagb Takr Tale \
    Talu Taml Tang Tavt Telu Teng Tfng Tglg Thaa Thai Tibt Tirh Ugar Vaii Visp Wara Wole \
    Xpeo Xsux Yiii Zyyy";

/// The script that is meant where a language is named without one.
const USUAL: &[(&str, &str)] = &[
    ("ara", "Arab"),
    ("cmn", "Hans"),
    ("deu", "Latn"),
    ("eng", "Latn"),
    ("fra", "Latn"),
    ("hin", "Deva"),
    ("ind", "Latn"),
    ("jpn", "Jpan"),
    ("kor", "Hang"),
    ("rus", "Cyrl"),
    ("spa", "Latn"),
    ("tha", "Thai"),
    ("vie", "Latn"),
    ("zho", "Hans"),
];

/// Checks a code of a language with its script: ISO 639-3 in lower case, a hyphen, ISO 15924 with a
/// capital.
///
/// # Errors
/// What was found and what is allowed; the code that is meant, where that is clear.
pub fn check(code: &str) -> Result<(), String> {
    let meant = meant(code);
    match meant {
        Some(meant) if meant == code => Ok(()),
        Some(meant) => Err(format!(
            "the language `{}` is not written as a code of ISO 639-3 and one of ISO 15924: is \
             `{meant}` meant?",
            code.escape_debug()
        )),
        None => Err(format!(
            "the language `{}` is not a known code of ISO 639-3 and one of ISO 15924 as in `kor-Hang` \
             (`und-Zyyy` for one that has none here)",
            code.escape_debug()
        )),
    }
}

/// The code with its script that is meant by a shorter or differently written one: `kor-Hang` for `ko`,
/// `kor` and `ko-KR`. `None` where the language is not known, or its usual script is not.
#[must_use]
pub fn meant(code: &str) -> Option<String> {
    let (language, script) = code.split_once(['-', '_']).unwrap_or((code, ""));
    let language = known_language(&language.to_lowercase())?;
    let script = SCRIPTS
        .split_whitespace()
        .find(|s| s.eq_ignore_ascii_case(script))
        .or_else(|| USUAL.iter().find(|u| u.0 == language).map(|u| u.1))?;
    Some(format!("{language}-{script}"))
}

/// The code of three letters of a code of two or three.
fn known_language(code: &str) -> Option<&'static str> {
    LANGUAGES.split_whitespace().find_map(|entry| {
        let (three, two) = entry.split_once('/').unwrap_or((entry, ""));
        (!code.is_empty() && (code == three || code == two)).then_some(three)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_codes_pass_and_others_name_what_is_meant() {
        for code in [
            "kor-Hang", "kor-Kore", "eng-Latn", "jje-Hang", "zho-Hant", "srp-Cyrl",
        ] {
            assert_eq!(check(code), Ok(()), "{code}");
        }
        for (code, meant) in [
            ("ko", "`kor-Hang` meant"),
            ("kor", "`kor-Hang` meant"),
            ("kor_Hang", "`kor-Hang` meant"),
            ("kor-hang", "`kor-Hang` meant"),
            ("ko-KR", "`kor-Hang` meant"),
            ("KOR-HANG", "`kor-Hang` meant"),
            ("en_Latn", "`eng-Latn` meant"),
            ("sr-Cyrl", "`srp-Cyrl` meant"),
            ("kor-Hang ", "`kor-Hang` meant"),
            ("zzz-Qqqq", "as in `kor-Hang`"),
            ("한-Hang", "as in `kor-Hang`"),
            ("swe", "as in `kor-Hang`"),
            ("", "as in `kor-Hang`"),
            ("-Hang", "as in `kor-Hang`"),
        ] {
            let error = check(code).expect_err(code);
            assert!(error.contains(meant), "{error}");
        }
    }
}
