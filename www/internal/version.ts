/** The version of the bundle; the Python package and the crates carry the same. */
export const VERSION = "0.1.0";
