// Two stages of 128 KiB for a chip whose blocks have 163 KiB.
dsv2_tile.kernel @k() attributes {chip = "sm_80", threads = 128 : i32} {
  %t = dsv2_tile.shared : !dsv2_tile.shared<2x512x128xbf16, swizzle = 128>
  dsv2_tile.role "all" warps 0 to 4 by 4 (%i) {
  }
}
