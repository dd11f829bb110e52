//! F19: an atomic operation that may write faults on memory that is mapped for reading, and Rust promises there only relaxed
//! loads of up to eight bytes. Readers map read-only and do nothing else.

use std::fs;
use std::path::Path;

use quantumflow_region::{RegionReader, RegionWriter, SignalReader, SignalWriter};

use crate::common::{options, ring_options, shm};

/// The rights of this process's mappings of a file, as the kernel lists them.
fn rights(path: &Path) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let of_file = maps.lines().filter(|line| line.ends_with(path.to_str().unwrap()));
    of_file.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn f19_readers_map_read_only() {
    let dir = shm();
    let region = RegionWriter::create(dir.path(), &options("engine", 1)).unwrap();
    let ring = SignalWriter::create(dir.path(), &ring_options("engine", 1, 8)).unwrap();
    let paths = [region.path().unwrap().to_path_buf(), ring.path().unwrap().to_path_buf()];
    // Copies, so that the only mappings are the readers'.
    let copies = [dir.path().join("engine.2.1.met"), dir.path().join("engine.2.1.ring")];
    for (path, copy) in paths.iter().zip(&copies) {
        fs::copy(path, copy).unwrap();
        fs::set_permissions(copy, std::os::unix::fs::PermissionsExt::from_mode(0o440)).unwrap();
    }
    let mut reader = RegionReader::open(&copies[0]).unwrap();
    let mut signals = SignalReader::open(&copies[1]).unwrap();
    reader.snapshot().unwrap();
    reader.events().unwrap();
    signals.next();
    signals.seek_oldest();
    for copy in &copies {
        assert_eq!(rights(copy), ["r--s"], "{}", copy.display());
    }
}

/// What reads shared memory asks for nothing but relaxed loads and fences. `memory.rs` and `sync.rs` are the only files that
/// touch an atomic; of these, a reader's way is `load`, which is relaxed.
#[test]
fn f19_only_relaxed_loads_and_fences_touch_shared_memory_when_it_is_read() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let code = |name: &str| {
        let text = fs::read_to_string(src.join(name)).unwrap();
        let code = text
            .lines()
            .take_while(|line| !line.contains("#[cfg(test)]") && !line.contains("cfg(all(test"));
        code.filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    for file in fs::read_dir(&src).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let touches = [
            "Ordering::",
            "AtomicU64",
            "AtomicU32",
            "fetch_",
            "compare_exchange",
            "ptr::read",
            "read_volatile",
        ];
        if !["memory.rs", "sync.rs"].contains(&name.as_str()) {
            let found: Vec<_> = touches.iter().filter(|word| code(&name).contains(**word)).collect();
            // The writer's own word for its rare shared cells.
            let allowed = ["cells.rs", "writer.rs"].contains(&name.as_str());
            assert!(
                found.iter().all(|word| allowed && **word == "fetch_"),
                "{name} uses {found:?}"
            );
        }
    }
    let readers = ["reader.rs", "event_reader.rs", "parse.rs", "snapshot.rs"];
    for name in readers {
        for word in [
            "store(",
            "store_release(",
            "store_bytes(",
            "bump(",
            "fetch_add(",
            "claim(",
            "unchecked(",
        ] {
            assert!(!code(name).contains(word), "{name} is a reader's file and has {word}");
        }
    }
    // Every load of a shared word, in both files, is relaxed.
    for name in ["memory.rs", "sync.rs"] {
        let loads = code(name);
        let loads = loads.lines().filter(|line| line.contains(".load("));
        for line in loads.filter(|line| line.contains("Ordering") || line.contains("word(index)")) {
            assert!(line.contains("Ordering::Relaxed"), "{name}: {line}");
        }
    }
}
