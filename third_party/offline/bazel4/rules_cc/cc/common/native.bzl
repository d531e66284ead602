info = CcInfo
