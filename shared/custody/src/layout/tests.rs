use touchstone_domain::FileName;

use super::*;
