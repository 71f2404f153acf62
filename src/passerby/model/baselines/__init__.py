"""Methods that ConvNeXt-AP is compared with, one file each."""
