//! Bounds on what comes from outside. All sizes are bytes.

/// Bounds for one client. [`Limits::default`] has the values that the README documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A root metadata file.
    pub root: u64,
    /// Root versions walked in one refresh.
    pub root_rotations: u32,
    /// The timestamp metadata file.
    pub timestamp: u64,
    /// A snapshot whose length the timestamp does not state.
    pub snapshot: u64,
    /// A targets file whose length the snapshot does not state.
    pub targets: u64,
    /// Delegated roles that are asked in one search.
    pub delegated_roles: usize,
    /// What one search may cost, in steps: characters that are compared with path patterns, and what takes as
    /// long. A delegated role that the search is the first to verify counts as 131,072.
    pub search_steps: usize,
    /// The files of all delegated roles that are kept of one repository, and of those that are in use: each as
    /// often as ways lead to its role.
    pub delegated_bytes: u64,
    /// A release manifest.
    pub manifest: u64,
    /// A shard of a release manifest, as transferred and after decompression.
    pub shard: u64,
    /// All shards of a release that are known at once, after decompression.
    pub shards: u64,
    /// Files in a release manifest or in one of its shards; as many objects, and as many shards.
    pub files: usize,
    /// Requirements that a release lists.
    pub requirements: usize,
    /// The text of one of them.
    pub requirement: usize,
    /// An object as transferred.
    pub object: u64,
    /// An object after decompression.
    pub object_decoded: u64,
    /// All objects of a release manifest, or of one of its shards, as transferred.
    pub release: u64,
    /// The same after decompression; what of a release with shards is fetched at once; and all that an update makes.
    pub release_decoded: u64,
    /// An update as transferred.
    pub update: u64,
    /// An update after decompression.
    pub update_decoded: u64,
    /// The header of an update.
    pub update_header: u64,
    /// Parts of which an update makes all that it makes.
    pub update_parts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: u64 = 1024;
        const MIB: u64 = 1024 * KIB;
        Self {
            root: 512 * KIB,
            root_rotations: 256,
            timestamp: 16 * KIB,
            snapshot: 2 * MIB,
            targets: 8 * MIB,
            delegated_roles: 32,
            search_steps: 1 << 24,
            delegated_bytes: 16 * MIB,
            manifest: 32 * MIB,
            shard: 32 * MIB,
            shards: 256 * MIB,
            files: 200_000,
            requirements: 1_000,
            requirement: 512,
            object: 128 * MIB,
            object_decoded: 256 * MIB,
            release: 1024 * MIB,
            release_decoded: 1024 * MIB,
            update: 32 * MIB,
            update_decoded: 64 * MIB,
            update_header: 4 * MIB,
            update_parts: 200_000,
        }
    }
}
