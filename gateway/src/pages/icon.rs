//! What an entry is taken for, by its name, and the icons for it.

/// What is known of an entry without its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file: its CID's codec is `raw`, or its block is here and says so.
    File,
    /// A symbolic link.
    Symlink,
    /// A file or a directory.
    Unknown,
}

/// What an entry is taken for; in the order in which `?sort=type` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// A directory.
    Folder,
    /// Neither the name nor the CID says.
    Unknown,
    /// Compressed or packed files.
    Archive,
    /// Sound.
    Audio,
    /// A program, or its source.
    Code,
    /// Records and tables.
    Data,
    /// Made to be printed or presented.
    Document,
    /// A file whose name says nothing.
    File,
    /// A picture.
    Image,
    /// A symbolic link.
    Link,
    /// Plain or marked-up text.
    Text,
    /// Moving pictures.
    Video,
}

/// Suffixes without their dot, sorted.
const SUFFIXES: &[(&str, Type)] = {
    use Type::{Archive, Audio, Code, Data, Document, Image, Text, Video};
    &[
        ("7z", Archive),
        ("aac", Audio),
        ("apng", Image),
        ("avif", Image),
        ("bmp", Image),
        ("bz2", Archive),
        ("c", Code),
        ("car", Archive),
        ("cbor", Data),
        ("cc", Code),
        ("cpp", Code),
        ("css", Code),
        ("csv", Data),
        ("db", Data),
        ("doc", Document),
        ("docx", Document),
        ("epub", Document),
        ("exe", Code),
        ("flac", Audio),
        ("gif", Image),
        ("go", Code),
        ("gz", Archive),
        ("h", Code),
        ("heic", Image),
        ("htm", Text),
        ("html", Text),
        ("ico", Image),
        ("iso", Archive),
        ("jar", Archive),
        ("java", Code),
        ("jpeg", Image),
        ("jpg", Image),
        ("js", Code),
        ("json", Data),
        ("jsx", Code),
        ("jxl", Image),
        ("log", Text),
        ("m4a", Audio),
        ("m4v", Video),
        ("md", Text),
        ("mid", Audio),
        ("mjs", Code),
        ("mkv", Video),
        ("mov", Video),
        ("mp3", Audio),
        ("mp4", Video),
        ("mpg", Video),
        ("odp", Document),
        ("ods", Data),
        ("odt", Document),
        ("oga", Audio),
        ("ogg", Audio),
        ("ogv", Video),
        ("opus", Audio),
        ("parquet", Data),
        ("pdf", Document),
        ("php", Code),
        ("png", Image),
        ("ppt", Document),
        ("pptx", Document),
        ("ps", Document),
        ("py", Code),
        ("rar", Archive),
        ("rb", Code),
        ("rs", Code),
        ("rst", Text),
        ("rtf", Document),
        ("sh", Code),
        ("sql", Data),
        ("sqlite", Data),
        ("srt", Text),
        ("svg", Image),
        ("tar", Archive),
        ("tex", Text),
        ("tgz", Archive),
        ("tif", Image),
        ("tiff", Image),
        ("toml", Data),
        ("ts", Code),
        ("tsv", Data),
        ("tsx", Code),
        ("txt", Text),
        ("vtt", Text),
        ("wasm", Code),
        ("wav", Audio),
        ("webm", Video),
        ("webp", Image),
        ("xls", Data),
        ("xlsx", Data),
        ("xml", Data),
        ("xz", Archive),
        ("yaml", Data),
        ("yml", Data),
        ("zip", Archive),
        ("zst", Archive),
    ]
};

/// The longest of [`SUFFIXES`].
const LONGEST: usize = 7;

impl Type {
    /// What an entry is taken for.
    pub fn of(name: &[u8], kind: Kind) -> Self {
        match kind {
            Kind::Directory => Self::Folder,
            Kind::Symlink => Self::Link,
            Kind::File => by_suffix(name).unwrap_or(Self::File),
            Kind::Unknown => by_suffix(name).unwrap_or(Self::Unknown),
        }
    }

    /// What it is called on a page.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Folder => "Folder",
            Self::Unknown => "\u{2013}",
            Self::Archive => "Archive",
            Self::Audio => "Audio",
            Self::Code => "Code",
            Self::Data => "Data",
            Self::Document => "Document",
            Self::File => "File",
            Self::Image => "Image",
            Self::Link => "Link",
            Self::Text => "Text",
            Self::Video => "Video",
        }
    }

    /// The `id` of its icon in [`SPRITE`].
    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Folder => "dir",
            Self::Unknown => "any",
            Self::Archive => "zip",
            Self::Audio => "aud",
            Self::Code => "cod",
            Self::Data => "dat",
            Self::Document => "doc",
            Self::File => "fil",
            Self::Image => "img",
            Self::Link => "lnk",
            Self::Text => "txt",
            Self::Video => "vid",
        }
    }
}

fn by_suffix(name: &[u8]) -> Option<Type> {
    let dot = name.iter().rev().take(LONGEST + 1).position(|byte| *byte == b'.')?;
    let suffix = &name[name.len() - dot..];
    // `.js` alone is a hidden file without a suffix.
    if dot == 0 || suffix.len() + 1 == name.len() {
        return None;
    }
    let mut lower = [0; LONGEST];
    let lower = &mut lower[..suffix.len()];
    lower.copy_from_slice(suffix);
    lower.make_ascii_lowercase();
    let at = SUFFIXES.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    Some(SUFFIXES[at].1)
}

/// The icons, drawn on 20 by 20, each used as `<svg><use href="#id"/></svg>`.
pub(super) const SPRITE: &str = concat!(
    "<svg width=0 height=0 class=sprite aria-hidden=true>",
    r#"<symbol id=dir viewBox="0 0 20 20"><path d="M2.5 15.5v-11h5l2 2.5h8v8.5z"/></symbol>"#,
    r#"<symbol id=any viewBox="0 0 20 20"><path stroke-dasharray="2.2 2" d="M4.5 2.5h11v15h-11z"/></symbol>"#,
    r#"<symbol id=fil viewBox="0 0 20 20"><path d="M4.5 2.5h7l4 4v11h-11zM11.5 2.5v4h4"/></symbol>"#,
    r#"<symbol id=txt viewBox="0 0 20 20"><path d="M3.5 5h13M3.5 8.5h13M3.5 12h13M3.5 15.5h7"/></symbol>"#,
    r#"<symbol id=doc viewBox="0 0 20 20"><path d="M4.5 2.5h11v15h-11zM7.5 6.5h5M7.5 9.5h5M7.5 12.5h3"/></symbol>"#,
    r#"<symbol id=img viewBox="0 0 20 20"><path d="M2.5 3.5h15v13h-15zM2.5 13.5l4.5-4 4 4 2.5-2 4 3"/><circle cx=13 cy=7.5 r=1.3 /></symbol>"#,
    r#"<symbol id=aud viewBox="0 0 20 20"><path d="M3.5 8v4M6.75 5v10M10 2.5v15M13.25 6v8M16.5 8.5v3"/></symbol>"#,
    r#"<symbol id=vid viewBox="0 0 20 20"><path d="M2.5 3.5h15v13h-15zM8 7v6l5-3z"/></symbol>"#,
    r#"<symbol id=zip viewBox="0 0 20 20"><path d="M2.5 3.5h15v4h-15zM3.5 7.5v9h13v-9M8 11h4"/></symbol>"#,
    r#"<symbol id=cod viewBox="0 0 20 20"><path d="M6.5 5.5L2 10l4.5 4.5M13.5 5.5L18 10l-4.5 4.5"/></symbol>"#,
    r#"<symbol id=dat viewBox="0 0 20 20"><path d="M2.5 3.5h15v13h-15zM2.5 8h15M2.5 12.25h15M8 3.5v13"/></symbol>"#,
    r#"<symbol id=lnk viewBox="0 0 20 20"><path d="M3.5 16.5c0-5 3-8 11.5-8M11 4.5l4.5 4-4.5 4"/></symbol>"#,
    "</svg>"
);
