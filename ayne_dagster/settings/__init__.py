"""What stands behind a setting: places on the disk, texts of variables. The settings themselves are in `config`."""
